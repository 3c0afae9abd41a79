//! The network of a task that may reach something: an internal one of its own, and in it a relay for each host of its allow list.
//!
//! The internal network has no way out and no address of this host. The connector knows each relay under the name of the host it carries to;
//! the relays alone are in a second network, which leads outside. One relay a host, because a connection says which port it wants and not
//! which name it was found under. The names are given to the connector alone (`/etc/hosts`): as aliases of the network they would answer the
//! relays too, which would find themselves. What this enforces and what it does not is said in `base-image/README.md`.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig, NetworkConnectRequest,
    NetworkCreateRequest, NetworkingConfig,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use futures_util::future;
use longshore_proto::Error;
use longshore_relay::Pair;

use super::engine::{Engine, is_not_found, status};
use super::leftovers::Labels;
use super::living::{Bound, Kept, Living};
use super::profile;

/// More hosts than this are not for one connector: each has a relay.
pub(crate) const HOSTS_MAX: usize = 24;
/// Of `cargo xtask image relay`; `LONGSHORE_RELAY_IMAGE` names another.
const IMAGE: &str = "longshore/relay:dev";
const IMAGE_VARIABLE: &str = "LONGSHORE_RELAY_IMAGE";
const IMAGE_LABEL: &str = "dev.longshore.relay";
const IMAGE_VERSION: &str = "v1";
/// 198.18.0.0/15 is nobody's on the internet, and no route of this host leads into an internal network: it meets other subnets of the Engine
/// only. In parts of 32 addresses: the first host's would be the gateway's, the last is the connector's.
const SUBNETS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const SUBNET_COUNT: u32 = 1 << 12;
const CONNECTOR: u32 = 30;
/// How often another subnet is tried, and the step to it.
const ATTEMPTS: u32 = 32;
const STEP: u32 = 1_031;
/// Within this time a relay takes connections.
const LISTENS: Duration = Duration::from_secs(20);

/// A place in a task's network.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) network: String,
    pub(super) address: Ipv4Addr,
    /// Whom it knows.
    pub(super) names: Vec<(String, Ipv4Addr)>,
}

/// Puts a container that has no network yet into its place.
pub(super) fn seated(body: ContainerCreateBody, seat: &Seat) -> ContainerCreateBody {
    let ipam = EndpointIpamConfig { ipv4_address: Some(seat.address.to_string()), ..EndpointIpamConfig::default() };
    let endpoint = EndpointSettings { ipam_config: Some(ipam), ..EndpointSettings::default() };
    let endpoints_config = Some(HashMap::from([(seat.network.clone(), endpoint)]));
    let hosts: Vec<String> = seat.names.iter().map(|(name, address)| format!("{name}:{address}")).collect();
    // Names it was not given are asked for at a relay, which answers none: neither the Engine nor this host asks anybody for it.
    let dns = seat.names.first().map(|(_, relay)| vec![relay.to_string()]);
    let body = ContainerCreateBody {
        network_disabled: Some(false),
        networking_config: Some(NetworkingConfig { endpoints_config }),
        ..body
    };
    profile::with_host(body, |host| HostConfig {
        network_mode: Some(seat.network.clone()),
        extra_hosts: (!hosts.is_empty()).then_some(hosts),
        dns,
        ..host
    })
}

/// A task's networks and relays, removed by [`Network::remove`]; or none.
#[derive(Debug)]
pub(super) struct Network {
    engine: Engine,
    relays: Vec<(String, Kept)>,
    /// By name.
    networks: Vec<String>,
}

/// What a network is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct For<'a> {
    pub(super) task: &'a str,
    pub(super) allow: &'a [Pair],
    /// What its containers and networks are called, before the last word.
    pub(super) name: &'a str,
    pub(super) labels: &'a Labels,
    /// Where subnets are tried from.
    pub(super) unique: u32,
}

impl Network {
    /// Makes what the allow list needs and gives the connector's place in it; nothing for an empty one. Connections are taken when it returns.
    pub(super) async fn make(engine: &Engine, of: For<'_>) -> Result<(Self, Option<Seat>), Error> {
        let mut network = Self { engine: engine.clone(), relays: Vec::new(), networks: Vec::new() };
        if of.allow.is_empty() {
            return Ok((network, None));
        }
        match network.fill(of).await {
            Ok(seat) => Ok((network, Some(seat))),
            Err(error) => {
                network.remove().await;
                Err(error)
            }
        }
    }

    async fn fill(&mut self, of: For<'_>) -> Result<Seat, Error> {
        let image = relay_image(&self.engine).await?;
        let outside = format!("{}-out", of.name);
        self.create(&outside, outside_network(of.labels)).await?;
        let (inside, subnet) = self.inside(of).await?;
        let plan = plan(of.allow, subnet);
        let relays =
            plan.iter().enumerate().map(|(at, (host, (address, pairs)))| {
                let seat = Seat { network: inside.clone(), address: *address, names: Vec::new() };
                let words = std::iter::once(address.to_string()).chain(pairs.iter().map(ToString::to_string)).collect();
                let body = profile::relay(&image, &seat, words, of.labels.of_relay());
                let name = format!("{}-relay-{}", of.name, at + 1);
                let (engine, outside, host) = (&self.engine, outside.as_str(), host.as_str());
                async move {
                    Ok::<_, Error>((host.to_owned(), start_relay(engine, of.task, host, &name, body, outside).await?))
                }
            });
        // All of them, also where one fails: those that were started have to be removed.
        let mut failure = None;
        for started in future::join_all(relays).await {
            match started {
                Ok(relay) => self.relays.push(relay),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let names = plan.into_iter().map(|(host, (address, _))| (host, address)).collect();
        Ok(Seat { network: inside, address: at(subnet, CONNECTOR), names })
    }

    /// The internal network, in the first subnet that nobody has.
    async fn inside(&mut self, of: For<'_>) -> Result<(String, Ipv4Addr), Error> {
        let name = format!("{}-in", of.name);
        let mut taken = None;
        for attempt in 0..ATTEMPTS {
            let number = of.unique.wrapping_add(attempt * STEP) % SUBNET_COUNT;
            let subnet = Ipv4Addr::from_bits(SUBNETS.to_bits() + (number << 5));
            match self.create(&name, inside_network(of.labels, subnet)).await {
                Ok(()) => return Ok((name, subnet)),
                Err(error) if error.message.contains("overlap") => taken = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(taken.unwrap_or_else(|| Error::internal("network", "no subnet was tried")))
    }

    async fn create(&mut self, name: &str, request: NetworkCreateRequest) -> Result<(), Error> {
        let request = NetworkCreateRequest { name: name.to_owned(), ..request };
        match self.engine.api().create_network(request).await {
            Ok(_) => {
                self.networks.push(name.to_owned());
                Ok(())
            }
            Err(error) => {
                let exhausted = error.to_string().contains("non-overlapping");
                let error = self.engine.refused(&format!("making the network {name}"), error);
                Err(if exhausted {
                    error.suggest("its address pools are used up: `docker network prune` frees some, `default-address-pools` adds more")
                } else {
                    error
                })
            }
        }
    }

    /// Waits until one of the relays has ended, which none does by itself; says which and how. For ever, where there is none.
    pub(super) async fn fallen(&self) -> String {
        if self.relays.is_empty() {
            return future::pending().await;
        }
        let ended = self.relays.iter().map(|(host, relay)| {
            let mut watch = relay.watch();
            Box::pin(async move {
                let how = watch.ended().await.map_or_else(|| "nobody knows how".to_owned(), |exit| exit.to_string());
                format!("the relay to {host} ended: {how}")
            })
        });
        future::select_all(ended).await.0
    }

    /// Ends the relays and removes them with the networks. Whoever else is in a network must be gone.
    pub(super) async fn remove(self) {
        future::join_all(self.relays.into_iter().map(|(_, relay)| relay.stop(Duration::ZERO))).await;
        for name in self.networks {
            remove(&self.engine, &name).await;
        }
    }
}

/// Removes a network that nobody is in any more.
pub(super) async fn remove(engine: &Engine, name: &str) {
    match engine.api().remove_network(name).await {
        Ok(()) => {}
        Err(error) if is_not_found(&error) => {}
        Err(error) => {
            tracing::warn!(target: "longshore", network = name, "cannot remove the network, the next run will: {error}");
        }
    }
}

async fn start_relay(
    engine: &Engine,
    task: &str,
    host: &str,
    name: &str,
    body: ContainerCreateBody,
    outside: &str,
) -> Result<Kept, Error> {
    let doing = format!("starting the relay to {host}");
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let memory_bytes = body.host_config.as_ref().and_then(|host| host.memory).unwrap_or_default().unsigned_abs();
    let made = engine.api().create_container(Some(options), body).await;
    let id = made.map_err(|error| engine.refused(&doing, error))?.id;
    let living = Living::new(engine.clone(), id.clone(), memory_bytes);
    let request = NetworkConnectRequest { container: id, endpoint_config: None };
    let joined = engine.api().connect_network(outside, request).await.map_err(|error| engine.refused(&doing, error));
    let attached = match joined {
        Ok(()) => living.start().await,
        Err(error) => Err(error),
    };
    let mut attached = match attached {
        Ok(attached) => attached,
        Err(error) => {
            living.remove().await;
            return Err(error);
        }
    };
    let listens = attached.first_word(LISTENS).await;
    let kept = living.keep(attached, task, &format!("relay to {host}"), Bound::default());
    if listens {
        return Ok(kept);
    }
    let how = kept.stop(Duration::ZERO).await.map_or_else(String::new, |exit| format!(": {exit}"));
    Err(Error::unavailable("relay.not_listening", format!("{doing}: it takes no connections{how}"))
        .suggest("see its log lines; `cargo xtask image relay` makes its image again"))
}

/// The image that relays are made of; it is never pulled.
async fn relay_image(engine: &Engine) -> Result<String, Error> {
    let name = std::env::var(IMAGE_VARIABLE).ok().filter(|name| !name.is_empty()).unwrap_or_else(|| IMAGE.to_owned());
    let doing = format!("looking for the image of relays, {name}");
    let found = engine.api().inspect_image(&name).await.map_err(|error| match status(&error) {
        Some(404) => {
            let message =
                format!("`network` needs the image of relays, {name}, and the Docker Engine does not have it");
            let help = format!("make it with `cargo xtask image relay`, or name another in {IMAGE_VARIABLE}");
            Error::config("image.relay", message).suggest(help)
        }
        Some(_) | None => engine.refused(&doing, error),
    })?;
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let version = labels.get(IMAGE_LABEL).map_or("", String::as_str);
    if version != IMAGE_VERSION {
        let message = format!("image {name}: expected {IMAGE_LABEL}={IMAGE_VERSION}, got {version:?}");
        return Err(Error::config("image.relay", message).suggest("make it again with `cargo xtask image relay`"));
    }
    Ok(found.id.unwrap_or(name))
}

/// Each host with its relay's address and what that carries.
fn plan(allow: &[Pair], subnet: Ipv4Addr) -> BTreeMap<String, (Ipv4Addr, Vec<&Pair>)> {
    let mut hosts: BTreeMap<String, (Ipv4Addr, Vec<&Pair>)> = BTreeMap::new();
    for pair in allow {
        let next = at(subnet, 2 + u32::try_from(hosts.len()).unwrap_or(u32::MAX));
        hosts.entry(pair.name().to_owned()).or_insert_with(|| (next, Vec::new())).1.push(pair);
    }
    hosts
}

fn at(subnet: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(subnet.to_bits().saturating_add(number))
}

/// No way out, and no address of this host in it: its services are not reached there either.
fn inside_network(labels: &Labels, subnet: Ipv4Addr) -> NetworkCreateRequest {
    let config = IpamConfig { subnet: Some(format!("{subnet}/27")), ..IpamConfig::default() };
    NetworkCreateRequest {
        internal: Some(true),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        options: Some(HashMap::from([option("inhibit_ipv4", "true")])),
        ..bridge(labels)
    }
}

/// Leads outside; those in it do not reach each other.
fn outside_network(labels: &Labels) -> NetworkCreateRequest {
    NetworkCreateRequest { options: Some(HashMap::from([option("enable_icc", "false")])), ..bridge(labels) }
}

fn bridge(labels: &Labels) -> NetworkCreateRequest {
    NetworkCreateRequest {
        driver: Some("bridge".into()),
        enable_ipv6: Some(false),
        labels: Some(labels.map()),
        ..NetworkCreateRequest::default()
    }
}

fn option(name: &str, value: &str) -> (String, String) {
    (format!("com.docker.network.bridge.{name}"), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_one_relay_and_all_of_them_fit() {
        let pair = |text: &str| Pair::parse(text).unwrap();
        let subnet = Ipv4Addr::new(198, 18, 0, 32);
        let allow = [pair("b:1"), pair("a:2"), pair("b:3")];
        let shown: Vec<_> = plan(&allow, subnet)
            .into_iter()
            .map(|(host, (address, pairs))| (host, address.to_string(), pairs.len()))
            .collect();
        assert_eq!(shown, [("a".into(), "198.18.0.35".to_owned(), 1), ("b".into(), "198.18.0.34".to_owned(), 2)]);
        let many: Vec<Pair> = (0..HOSTS_MAX).map(|number| pair(&format!("h{number}:1"))).collect();
        assert!(plan(&many, subnet).values().all(|(address, _)| *address < at(subnet, CONNECTOR)));
    }
}
