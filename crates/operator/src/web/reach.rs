//! Where analyses may go. Whoever may write one has the operator ask whatever address they like, so the addresses that lead into it, into its
//! node or to the API server are closed, as far as it knows them, whatever name stands for them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower::Service;

use crate::shares::Shares;

/// Addresses with a common beginning: `10.0.0.0/8`, or a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        let ((ours, width), (theirs, other)) = (bits(self.first), bits(address));
        width == other && (self.prefix == 0 || (ours ^ theirs) >> (128 - self.prefix) == 0)
    }
}

impl From<IpAddr> for Network {
    fn from(first: IpAddr) -> Network {
        Network { first, prefix: if first.is_ipv4() { 32 } else { 128 } }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong =
            || format!("{text:?} is no network: write an address and the length of its prefix, such as 10.0.0.0/8");
        let (first, prefix) = text.split_once('/').map_or((text, None), |(first, prefix)| (first, Some(prefix)));
        let all = Network::from(first.parse::<IpAddr>().map_err(|_| wrong())?);
        let prefix = prefix.map_or(Ok(all.prefix), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > all.prefix {
            return Err(wrong());
        }
        Ok(Network { prefix, ..all })
    }
}

/// Where questions may go.
#[derive(Clone, Debug)]
pub enum Reach {
    /// Anywhere: whoever installed the operator says where.
    Anywhere,
    /// Nowhere.
    Nowhere,
    /// Only into `allow`, if that names any; else everywhere but where it leads back to us. Never into `deny`.
    Within { allow: Vec<Network>, deny: Vec<Network> },
}

impl Reach {
    /// Whether this address may be asked; if not, why.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, address: IpAddr) -> Result<(), String> {
        let (allow, deny) = match self {
            Reach::Anywhere => return Ok(()),
            Reach::Nowhere => {
                let why =
                    "analyses may ask no web server here: its operator was installed with analysis.web.enabled=false";
                return Err(why.to_owned());
            }
            Reach::Within { allow, deny } => (allow, deny),
        };
        let address = address.to_canonical();
        let within = |networks: &[Network], address| networks.iter().any(|network| network.contains(address));
        let is_closed = |address| allow.is_empty() && leads_back(address) || within(deny, address);
        let open = allow.is_empty() || within(allow, address);
        if open && !is_closed(address) && !embedded(address).is_some_and(is_closed) {
            return Ok(());
        }
        Err(format!("analyses may not ask {address}: see analysis.web of the operator's chart"))
    }
}

/// The address of IPv4 that a gateway reads out of one of IPv6: NAT64, 6to4, and the form that nobody should use any more.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else { return None };
    let bits = address.to_bits();
    let (nat64, local_nat64, compatible, six_to_four) = (bits >> 32, bits >> 80, bits >> 32, bits >> 112);
    let four = if nat64 == 0x64_ff9b << 64 || local_nat64 == 0x64_ff9b_0001 || compatible == 0 {
        bits
    } else if six_to_four == 0x2002 {
        bits >> 80
    } else {
        return None;
    };
    let four = u32::try_from(four & u128::from(u32::MAX)).unwrap_or_default();
    Some(IpAddr::V4(four.into()))
}

/// Loopback, the node's own and the cloud's services for it, everybody, nobody.
fn leads_back(address: IpAddr) -> bool {
    // What clouds offer their machines under other than link-local addresses: of Azure, Alibaba and Oracle; of AWS and Google.
    const SERVICES_V4: [[u8; 4]; 3] = [[168, 63, 129, 16], [100, 100, 100, 200], [192, 0, 0, 192]];
    const SERVICES_V6: [u128; 2] =
        [0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 0xfd20_00ce_0000_0000_0000_0000_0000_0254];
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || match address {
            // 0.0.0.0/8 is this host, too.
            IpAddr::V4(address) => {
                let octets = address.octets();
                address.is_link_local() || address.is_broadcast() || octets[0] == 0 || SERVICES_V4.contains(&octets)
            }
            IpAddr::V6(address) => address.is_unicast_link_local() || SERVICES_V6.contains(&address.to_bits()),
        }
}

tokio::task_local! {
    /// Whose analysis asks.
    pub static ASKS_FOR: Arc<str>;
}

/// How many names may be looked up at a time for one namespace. A lookup has a thread for itself until the name server has answered, or has not for
/// long enough; whoever asks may have given up by then. There are some hundred threads, for all namespaces.
const LOOKUPS: usize = 8;

type LookUp = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Finds the addresses of a name, without those that may not be asked: whoever owns the name decides what it means.
#[derive(Clone)]
pub struct Resolver {
    reach: Arc<Reach>,
    look_up: Arc<LookUp>,
    lookups: Shares,
}

impl Resolver {
    /// One that finds these.
    pub fn new(reach: Arc<Reach>) -> Resolver {
        Resolver::with(reach, |name| Ok((name, 0).to_socket_addrs()?.collect()))
    }

    fn with(
        reach: Arc<Reach>,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Resolver {
        Resolver { reach, look_up: Arc::new(look_up), lookups: Shares::new(LOOKUPS) }
    }

    fn places(&self) -> Arc<Semaphore> {
        let namespace = ASKS_FOR.try_with(Arc::clone).unwrap_or_default();
        self.lookups.of(namespace)
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (reach, look_up, places) = (self.reach.clone(), self.look_up.clone(), self.places());
        Box::pin(async move {
            let place = places.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::task::spawn_blocking(move || {
                // Not before the thread is free.
                let _place = place;
                look_up(name.as_str())
            });
            let (mut open, mut why) = (Vec::new(), None);
            for address in found.await?? {
                match reach.check(address.ip()) {
                    Ok(()) => open.push(address),
                    Err(closed) => why = Some(closed),
                }
            }
            match why {
                Some(why) if open.is_empty() => Err(io::Error::new(io::ErrorKind::PermissionDenied, why)),
                _ => Ok(open.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use std::sync::Mutex;

    fn within(allow: &[&str], deny: &[&str]) -> Reach {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a network")).collect();
        Reach::Within { allow: networks(allow), deny: networks(deny) }
    }

    fn may(reach: &Reach, address: &str) -> bool {
        reach.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn an_analysis_does_not_lead_back_into_the_operator_its_node_or_the_cloud_around_it() {
        let default = within(&[], &["10.96.0.1"]);
        let closed = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "255.255.255.255",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "ff02::1",
            "10.96.0.1",
            "::ffff:10.96.0.1",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b::10.96.0.1",
            "64:ff9b:1::127.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd20:ce::254",
        ];
        for address in closed {
            assert!(!may(&default, address), "{address}");
        }
        for address in ["10.96.0.2", "192.0.2.1", "2001:db8::1", "fd00::1", "64:ff9b::192.0.2.1", "2002:c000:201::1"] {
            assert!(may(&default, address), "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_all_that_is_and_what_is_denied_is_never() {
        let some = within(&["10.0.0.0/8", "127.0.0.0/8"], &["10.1.0.0/16"]);
        assert!(may(&some, "10.2.0.1") && may(&some, "127.0.0.1"));
        assert!(!may(&some, "10.1.2.3") && !may(&some, "192.0.2.1") && !may(&some, "2001:db8::1"));
        assert!(!may(&Reach::Nowhere, "192.0.2.1"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/x", "example.com", "10.0.0/8"] {
            assert!(wrong.parse::<Network>().expect_err(wrong).contains("10.0.0.0/8"), "{wrong}");
        }
        assert!(within(&["0.0.0.0/0"], &[]).check("192.0.2.1".parse().expect("an address")).is_ok());
    }

    #[test]
    fn names_that_nobody_answers_for_keep_the_threads_of_one_namespace_and_no_others() {
        const THREADS: usize = 2 * LOOKUPS;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(THREADS).build();
        let runtime = runtime.expect("a runtime");
        let (hangs, never) = std::sync::mpsc::channel::<()>();
        let never = Mutex::new(never);
        let resolver = Resolver::with(Arc::new(Reach::Anywhere), move |name| {
            if name == "hangs" {
                // Until the test is over, one after the other.
                let _ = never.lock().expect("no panic while locked").recv();
            }
            Ok(vec![SocketAddr::from(([192, 0, 2, 1], 0))])
        });
        let ask = |namespace: &str, name: &str, patience| {
            let (mut resolver, name) = (resolver.clone(), name.parse::<Name>().expect("a name"));
            let answer = ASKS_FOR.scope(namespace.into(), async move { resolver.call(name).await });
            async move { tokio::time::timeout(Duration::from_millis(patience), answer).await.is_ok() }
        };
        runtime.block_on(async {
            for _ in 0..2 * THREADS {
                assert!(!ask("shop", "hangs", 5).await);
            }
            assert!(ask("bank", "answers", 10_000).await, "another namespace has threads");
            assert!(!ask("shop", "answers", 5).await, "this one has none until one of its own is free");
            assert_eq!(resolver.lookups.kept(), 1, "nothing is kept of who is done");
        });
        drop(hangs);
    }
}
