//! Schedulers that hash, and the one that looks for a server id first: sh, mh, tch, qch.

use slb_common::service::{MAGLEV_PLACES, NO_SLOT, scheduler};

use super::*;

#[test]
fn a_source_always_hashes_to_the_same_place_and_another_attempt_elsewhere() {
    let ring: Vec<u32> = (0..100).collect();
    let memory = memory(&ring, &[1; 100]);
    let source = v4_words([192, 0, 2, 7]);
    let of = |attempt| {
        pick(&memory, Ring::new(0, 100, scheduler::SOURCE_HASH), Draw { attempt, ..first(source) })
    };
    assert_eq!(of(0), of(0));
    assert_ne!(of(0), of(1));
}

#[test]
fn sources_spread_evenly_over_the_ring() {
    let memory = memory(&[0, 1, 2, 3], &[1; 4]);
    let mut counts = [0; 4];
    for n in 0..40_000_u32 {
        let source = v4_words((0x0a00_0000 + n).to_be_bytes());
        counts[pick(&memory, ring(&memory, scheduler::SOURCE_HASH), first(source)).unwrap()
            as usize] += 1;
    }
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

#[test]
fn every_part_of_the_4_tuple_changes_its_hash_and_only_the_source_that_of_the_source() {
    let (client, vip) = (v4_words([192, 0, 2, 1]), v4_words([203, 0, 113, 1]));
    let other = v4_words([192, 0, 2, 2]);
    let of = |kind, source, vip, ports| hash::input(kind, source, vip, ports);
    for kind in [scheduler::TUPLE_HASH, scheduler::QUIC] {
        let base = of(kind, client, vip, 0x7530_01bb);
        assert_ne!(of(kind, other, vip, 0x7530_01bb), base);
        assert_ne!(of(kind, client, other, 0x7530_01bb), base);
        assert_ne!(of(kind, client, vip, 0x7531_01bb), base);
        assert_ne!(of(kind, client, vip, 0x7530_01bc), base);
    }
    let source = of(scheduler::SOURCE_HASH, client, vip, 0x7530_01bb);
    assert_eq!(of(scheduler::SOURCE_HASH, client, other, 1), source);
    assert_ne!(of(scheduler::SOURCE_HASH, other, vip, 0x7530_01bb), source);
}

#[test]
fn ports_of_one_client_spread_evenly_over_a_tuple_hash() {
    let memory = memory(&[0, 1, 2, 3], &[1; 4]);
    let mut counts = [0; 4];
    for port in 0..40_000_u32 {
        let hash = hash::input(scheduler::TUPLE_HASH, [1, 0], [2, 0], port << 16 | 443);
        let draw = Draw { hash, ..first([1, 0]) };
        counts[pick(&memory, ring(&memory, scheduler::TUPLE_HASH), draw).unwrap() as usize] += 1;
    }
    assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
}

#[test]
fn a_server_id_names_its_slot_and_one_that_nobody_has_goes_by_the_hash() {
    let mut places = vec![7; MAGLEV_PLACES as usize];
    places.extend([NO_SLOT, 1, 2]);
    let memory = memory(&places, &[]);
    let of = |server_id, attempt| {
        let draw = Draw { server_id, attempt, ..first([1, 0]) };
        pick(&memory, ring(&memory, scheduler::QUIC), draw)
    };
    assert_eq!((of(1, 0), of(2, 0)), (Some(1), Some(2)));
    for nobody in [0, 3, 4, 0xffff, NO_SERVER] {
        assert_eq!(of(nobody, 0), Some(7), "{nobody}");
    }
    assert_eq!(of(2, 1), Some(2));
}
