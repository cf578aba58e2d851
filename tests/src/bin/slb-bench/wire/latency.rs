//! How long packets are under way, as a histogram.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// What is told of a histogram.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

/// Times of one row.
pub(super) struct Latency {
    pub(super) what: String,
    histogram: Histogram<u64>,
}

impl Latency {
    /// Of nanoseconds.
    ///
    /// # Errors
    /// The histogram's: a time that no packet takes.
    pub(super) fn of(what: String, times: Vec<u64>) -> Result<Self> {
        let mut histogram = Histogram::new(3)?;
        for time in times {
            histogram.record(time)?;
        }
        Ok(Self { what, histogram })
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({ "packets": self.histogram.len(), "max_ns": self.histogram.max() });
        for (name, quantile) in QUANTILES {
            json[format!("{name}_ns")] = self.histogram.value_at_quantile(quantile).into();
        }
        json
    }
}

/// Shows histograms, in microseconds.
pub(super) fn print(latencies: &[Latency]) {
    print!("  {:<42}", "under way, µs");
    QUANTILES.iter().for_each(|(name, _)| print!(" {name:>8}"));
    println!(" {:>8}", "max");
    for latency in latencies {
        print!("  {:<42}", latency.what);
        let us = |ns: u64| ns as f64 / 1000.0;
        for (_, quantile) in QUANTILES {
            print!(" {:>8.1}", us(latency.histogram.value_at_quantile(quantile)));
        }
        println!(" {:>8.1}", us(latency.histogram.max()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_times() {
        let latency = Latency::of("row".into(), (1..=1000).collect()).unwrap();
        let json = latency.json();
        assert_eq!((json["packets"].as_u64(), json["p50_ns"].as_u64()), (Some(1000), Some(500)));
        assert_eq!((json["p99_ns"].as_u64(), json["max_ns"].as_u64()), (Some(990), Some(1000)));
    }
}
