//! The two ends of a connection on one machine, and whose the other one is.

use std::net::SocketAddr;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// This server's.
    pub ours: SocketAddr,
    /// The browser's.
    pub theirs: SocketAddr,
}

impl Ends {
    /// Whether another user of this machine is at the other end. The key stands in the command line of what opens the browser, where
    /// every user can read it; so it is only good from a connection of the user who started the dashboard, or of root, from whom
    /// nothing can be kept. Linux tells whose a connection is. Where nobody tells, nobody is kept out by this.
    pub fn is_of_another_user(&self) -> bool {
        let Some(own) = own_user() else { return false };
        let mut ours = vec![own, 0];
        // Who became root by sudo has a browser of their own.
        if own == 0 {
            ours.extend(std::env::var("SUDO_UID").ok().and_then(|user| user.parse::<u32>().ok()));
        }
        tables().iter().flat_map(|table| self.sockets(table)).any(|socket| !ours.contains(&socket.user))
    }

    /// Whether the other end was closed, where Linux tells. Then nobody knows who it was: of a socket that was closed Linux says that it is
    /// root's, or nothing. This end says so, since the other one need not be on this system: it may be that of a virtual machine's host.
    pub fn is_left(&self) -> bool {
        let turned = Ends { ours: self.theirs, theirs: self.ours };
        let tables = tables();
        !tables.is_empty() && !tables.iter().flat_map(|table| turned.sockets(table)).any(|socket| socket.is_open)
    }

    /// Every socket that leads from their port to ours. A browser may use a socket of either version of IP.
    fn sockets(&self, table: &str) -> Vec<Socket> {
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        let socket = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (from, to) = (port(fields.next()?)?, port(fields.next()?)?);
            if from != self.theirs.port() || to != self.ours.port() {
                return None;
            }
            let is_open = fields.next()? == ESTABLISHED;
            Some(Socket { is_open, user: fields.nth(3)?.parse().ok()? })
        };
        table.lines().filter_map(socket).collect()
    }
}

/// A socket as Linux lists it.
#[derive(Debug, PartialEq, Eq)]
struct Socket {
    /// Neither end was closed.
    is_open: bool,
    /// Whose it is.
    user: u32,
}

/// How Linux writes that neither end was closed.
const ESTABLISHED: &str = "01";

/// Where Linux lists the sockets of TCP.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// The lists, where they can be read.
fn tables() -> Vec<String> {
    TABLES.iter().filter_map(|table| std::fs::read_to_string(table).ok()).collect()
}

#[cfg(target_os = "linux")]
fn own_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").ok().map(|process| process.uid())
}

#[cfg(not(target_os = "linux"))]
fn own_user() -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0
   2: 0100007F:C001 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1001        0 3 1 0
   3: 0000000000000000FFFF00000100007F:C002 0000000000000000FFFF00000100007F:1F90 01 00000000:00000000 00:00000000 00000000  1002        0 4 1 0
   4: 0100007F:C004 0100007F:1F90 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0
";

    #[test]
    fn whose_a_connection_is_stands_in_the_table_of_either_version() {
        let ends = |theirs: u16| {
            let of = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Ends { ours: of(0x1f90), theirs: of(theirs) }
        };
        assert_eq!(ends(0xc001).sockets(TABLE), [Socket { is_open: true, user: 1001 }]);
        assert_eq!(ends(0xc002).sockets(TABLE), [Socket { is_open: true, user: 1002 }]);
        assert!(ends(0xc003).sockets(TABLE).is_empty());
        assert_eq!(ends(0xc004).sockets(TABLE), [Socket { is_open: false, user: 0 }], "whose it was is not told");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_of_ones_own_is_not_of_another_user() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let ours = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(ours).expect("it listens");
        let _served = listener.accept().expect("a connection");
        let ends = Ends { ours, theirs: stream.local_addr().expect("an address") };
        assert!(!ends.is_of_another_user() && !ends.is_left());
        let table = std::fs::read_to_string(TABLES[0]).expect("Linux has it");
        assert_eq!(ends.sockets(&table), [Socket { is_open: true, user: own_user().expect("Linux tells") }]);
        drop(stream);
        let is_left = || {
            std::thread::sleep(std::time::Duration::from_millis(10));
            ends.is_left()
        };
        assert!((0..1000).any(|_| is_left()), "nobody knows who it was");
    }
}
