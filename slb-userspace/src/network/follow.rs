//! The task behind [`super::Resolver`]: follows the kernel's news of neighbours, routes, rules,
//! addresses and interfaces.
//!
//! News of a neighbour are applied at once; everything else is gathered for [`SETTLE`] and then
//! read again in full, because the kernel does not tell every route that goes with an interface.
//! If news were lost, everything is read again.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use futures_util::StreamExt;
use rtnetlink::Handle;
use slb_common::next_hop::NextHop;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};
use tracing::{debug, warn};

use super::{
    ClientHopChange, Error, HopChange,
    links::LinkTable,
    neighbours::{self, Key, Moved, Neighbour, NeighbourTable},
    news::{self, News, NewsStream},
    resolve::{self, Unresolved, neighbour_of},
    routes::{self, Route},
};

/// How long changes are gathered before everything is read again.
const SETTLE: Duration = Duration::from_millis(50);

/// How often what has no next hop is tried again without any news.
const RETRY: Duration = Duration::from_secs(5);

/// What is known of one address.
pub(super) type Outcome = Result<NextHop, Unresolved>;

/// Who is told.
pub(super) struct Listeners {
    /// All that is known, whenever something has changed.
    pub(super) publish: watch::Sender<HashMap<IpAddr, Outcome>>,
    /// Every change of a backend's next hop.
    pub(super) changes: mpsc::Sender<HopChange>,
    /// Every change that next hops to clients may depend on.
    pub(super) client_changes: mpsc::Sender<ClientHopChange>,
}

/// Starts the task, in the network namespace of this thread; it ends when nobody wants addresses
/// or listens any more.
pub(super) fn start(
    wanted: watch::Receiver<HashSet<IpAddr>>,
    listeners: Listeners,
) -> Result<(), Error> {
    let stream = news::subscribe()?;
    let task = Task {
        handle: super::connect()?,
        links: LinkTable::default(),
        neighbours: NeighbourTable::default(),
        routes: HashMap::new(),
        managed: HashSet::new(),
        stale: Stale::all(),
        listeners,
    };
    tokio::spawn(task.run(wanted, stream));
    Ok(())
}

/// What has to be read again, and when.
#[derive(Debug, Default)]
struct Stale {
    links: bool,
    routes: bool,
    neighbours: bool,
    at: Option<Instant>,
}

impl Stale {
    /// From the first change on, not the last: a stream of changes does not put it off for ever.
    fn soon(&mut self) {
        self.at.get_or_insert_with(|| Instant::now() + SETTLE);
    }

    fn all() -> Self {
        Self { links: true, routes: true, neighbours: true, at: Some(Instant::now()) }
    }
}

/// The other end is gone: nobody wants to know any more.
struct Unheard;

struct Task {
    handle: Handle,
    links: LinkTable,
    neighbours: NeighbourTable,
    /// The route of every wanted address.
    routes: HashMap<IpAddr, Result<Route, Unresolved>>,
    /// Neighbours that we have the kernel keep fresh.
    managed: HashSet<Key>,
    stale: Stale,
    listeners: Listeners,
}

impl Task {
    async fn run(mut self, mut wanted: watch::Receiver<HashSet<IpAddr>>, mut stream: NewsStream) {
        let mut retry = interval(RETRY);
        retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.stale.at;
            let outcome = tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => {
                        let addresses = wanted.borrow_and_update().clone();
                        self.want(&addresses).await
                    }
                    Err(_) => Err(Unheard),
                },
                news = stream.next() => match news {
                    Some(news) => self.hear(news).await,
                    None => {
                        stream = resubscribe().await;
                        self.stale = Stale::all();
                        Ok(())
                    }
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.refresh().await
                }
                _ = retry.tick() => self.retry().await,
            };
            if let Err(Unheard) = outcome {
                return;
            }
        }
    }

    /// Takes the addresses that are wanted from now on.
    async fn want(&mut self, addresses: &HashSet<IpAddr>) -> Result<(), Unheard> {
        if self.stale.at.is_some() {
            self.refresh().await?;
        }
        self.routes.retain(|address, _| addresses.contains(address));
        for &address in addresses {
            if !self.routes.contains_key(&address) {
                self.routes.insert(address, routes::lookup(&self.handle, address).await);
            }
        }
        self.listeners.publish.send_if_modified(|outcomes| {
            let before = outcomes.len();
            outcomes.retain(|address, _| addresses.contains(address));
            outcomes.len() != before
        });
        // Also those that a daemon before us asked for.
        let ours = self.neighbours.iter().filter(|(_, entry)| entry.managed && entry.ours);
        self.managed.extend(ours.map(|(key, _)| *key));
        self.ask().await;
        self.decide().await
    }

    /// Takes one piece of news.
    async fn hear(&mut self, news: News) -> Result<(), Unheard> {
        match news {
            News::Neighbour(key, neighbour) => return self.hear_of_neighbour(key, neighbour).await,
            News::Links => self.stale.links = true,
            News::Routes => self.stale.routes = true,
            News::Lost => {
                debug!("news of the network were lost; reading everything again");
                self.stale = Stale::all();
            }
        }
        self.stale.soon();
        Ok(())
    }

    async fn hear_of_neighbour(
        &mut self,
        key: Key,
        neighbour: Option<Neighbour>,
    ) -> Result<(), Unheard> {
        let moved = self.neighbours.apply(key, neighbour);
        if let Some(moved) = moved {
            self.tell_moved(moved).await?;
        }
        if !self.needed().contains(&key) {
            return Ok(());
        }
        if neighbour.is_none_or(|neighbour| !neighbour.managed) {
            // Not at once: an interface that goes deletes its neighbours before we hear of it.
            self.stale.soon();
        }
        self.decide().await
    }

    /// Reads again what may have changed.
    async fn refresh(&mut self) -> Result<(), Unheard> {
        let stale = std::mem::take(&mut self.stale);
        let moved = match self.read(&stale).await {
            Ok(moved) => moved,
            Err(error) => {
                warn!("{error}; trying again");
                self.stale = Stale { at: Some(Instant::now() + RETRY), ..stale };
                return Ok(());
            }
        };
        for moved in moved {
            self.tell_moved(moved).await?;
        }
        if stale.links || stale.routes {
            for (address, route) in &mut self.routes {
                *route = routes::lookup(&self.handle, *address).await;
            }
            self.listeners
                .client_changes
                .send(ClientHopChange::RoutesChanged)
                .await
                .map_err(|_| Unheard)?;
        }
        self.ask().await;
        self.decide().await
    }

    async fn read(&mut self, stale: &Stale) -> Result<Vec<Moved>, Error> {
        if stale.links {
            self.links = LinkTable::read(&self.handle).await?;
        }
        if !stale.neighbours {
            return Ok(Vec::new());
        }
        Ok(self.neighbours.replace(NeighbourTable::dump(&self.handle).await?))
    }

    /// Tries what has no next hop once more.
    async fn retry(&mut self) -> Result<(), Unheard> {
        let failed: Vec<IpAddr> =
            self.routes.iter().filter(|(_, route)| route.is_err()).map(|(key, _)| *key).collect();
        for address in failed {
            self.routes.insert(address, routes::lookup(&self.handle, address).await);
        }
        self.ask().await;
        self.decide().await
    }

    /// The neighbours that wanted addresses are reached by.
    fn needed(&self) -> HashSet<Key> {
        let routes = self.routes.iter();
        routes
            .filter_map(|(address, route)| Some(neighbour_of(route.as_ref().ok()?, *address)))
            .collect()
    }

    /// Has the kernel keep the needed neighbours fresh, and no others for us.
    async fn ask(&mut self) {
        let needed = self.needed();
        for key in self.managed.extract_if(|key| !needed.contains(key)) {
            if let Err(error) = neighbours::release(&self.handle, key).await {
                debug!("{error}");
            }
        }
        for key in needed {
            let known = self.neighbours.get(&key);
            if known.is_some_and(|neighbour| neighbour.managed || neighbour.fixed())
                || self.links.egress(key.interface).is_err()
            {
                continue;
            }
            match neighbours::manage(&self.handle, key).await {
                Ok(()) => {
                    self.managed.insert(key);
                }
                Err(error) => warn!("{error}"),
            }
        }
    }

    /// Works out every next hop anew and tells what has changed.
    async fn decide(&mut self) -> Result<(), Unheard> {
        let mut changed = Vec::new();
        self.listeners.publish.send_if_modified(|outcomes| {
            let mut modified = false;
            for (&address, route) in &self.routes {
                let mut next = route.clone().and_then(|route| {
                    resolve::next_hop(&route, address, &self.links, &self.neighbours)
                });
                let last = outcomes.get(&address);
                if let (Some(Err(last)), Err(reason)) = (last, &next) {
                    next = Err(last.then(reason.clone()));
                }
                if last == Some(&next) {
                    continue;
                }
                let (before, hop) = (
                    last.and_then(|last| last.as_ref().ok().copied()),
                    next.as_ref().ok().copied(),
                );
                if before != hop {
                    changed.push(HopChange { address, hop });
                }
                outcomes.insert(address, next);
                modified = true;
            }
            modified
        });
        for change in changed {
            debug!(?change, "next hop");
            self.listeners.changes.send(change).await.map_err(|_| Unheard)?;
        }
        Ok(())
    }

    async fn tell_moved(&self, Moved { key, old, new }: Moved) -> Result<(), Unheard> {
        let interface = self.links.egress(key.interface).map_or(key.interface, |to| to.interface);
        let change = ClientHopChange::NeighbourMoved { interface, old_mac: old, new_mac: new };
        self.listeners.client_changes.send(change).await.map_err(|_| Unheard)
    }
}

async fn resubscribe() -> NewsStream {
    loop {
        warn!("the socket for news of the network was closed; opening another");
        match news::subscribe() {
            Ok(stream) => return stream,
            Err(error) => warn!("{error}"),
        }
        sleep(RETRY).await;
    }
}
