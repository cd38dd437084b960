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
        let users = TABLES.iter().filter_map(|table| std::fs::read_to_string(table).ok());
        let users: Vec<u32> = users.flat_map(|table| self.users(&table)).collect();
        users.iter().any(|user| !ours.contains(user))
    }

    /// The users of every socket that leads from their port to ours. A browser may use a socket of either version of IP.
    fn users(&self, table: &str) -> Vec<u32> {
        let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
        let user = |line: &str| {
            let mut fields = line.split_whitespace().skip(1);
            let (from, to) = (port(fields.next()?)?, port(fields.next()?)?);
            let is_this = from == self.theirs.port() && to == self.ours.port();
            fields.nth(4)?.parse().ok().filter(|_| is_this)
        };
        table.lines().filter_map(user).collect()
    }
}

/// Where Linux lists the sockets of TCP.
const TABLES: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

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
";

    #[test]
    fn whose_a_connection_is_stands_in_the_table_of_either_version() {
        let ends = |theirs: u16| {
            let of = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            Ends { ours: of(0x1f90), theirs: of(theirs) }
        };
        assert_eq!(ends(0xc001).users(TABLE), [1001]);
        assert_eq!(ends(0xc002).users(TABLE), [1002]);
        assert_eq!(ends(0xc003).users(TABLE), [0; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_connection_of_ones_own_is_not_of_another_user() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let ours = listener.local_addr().expect("an address");
        let stream = std::net::TcpStream::connect(ours).expect("it listens");
        let ends = Ends { ours, theirs: stream.local_addr().expect("an address") };
        assert!(!ends.is_of_another_user());
        let table = std::fs::read_to_string(TABLES[0]).expect("Linux has it");
        assert_eq!(ends.users(&table), [own_user().expect("Linux tells")]);
    }
}
