//! The TCP port: opened, or who has it already.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;

use super::inherited;

/// Takes what systemd handed over, else opens the port.
///
/// # Errors
/// As one sentence: it is taken, by whom as far as that can be seen, or the system refuses.
pub fn open_port(address: SocketAddr) -> Result<TcpListener, String> {
    // What is wrong with it is said by whoever opens the control socket.
    if let Ok(Some(listener)) = inherited::port() {
        return Ok(listener);
    }
    TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = holder(address).map_or_else(String::new, |(name, pid)| format!(" by {name} (process {pid})"));
            format!("{address} is taken{by}; choose another with --listen, or none")
        }
        _ => format!("{address} cannot be listened on: {error}"),
    })
}

/// The process that listens there, as far as its files can be seen.
pub fn port_holder(address: SocketAddr) -> Option<u32> {
    holder(address).map(|(_, pid)| pid)
}

/// The program that listens there, as far as its files can be seen: its name and process id.
fn holder(address: SocketAddr) -> Option<(String, u32)> {
    let inode = listening_inode("/proc/net/tcp", address).or_else(|| listening_inode("/proc/net/tcp6", address))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let has = |file: fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str().as_bytes() == wanted.as_bytes())
        };
        if files.flatten().any(has) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((name.trim().escape_default().to_string(), pid));
        }
    }
    None
}

/// The inode of the socket that listens on that port, at that address or at all.
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    const LISTENING: &str = "0A";
    let text = fs::read_to_string(table).ok()?;
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (host, port) = fields.get(1)?.split_once(':')?;
        let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
        let is_any = host.bytes().all(|digit| digit == b'0');
        let same_host = match address {
            // The table has the bytes of an address as the machine keeps them.
            SocketAddr::V4(v4) => {
                u32::from_str_radix(host, 16).is_ok_and(|host| Ipv4Addr::from(host.to_ne_bytes()) == *v4.ip())
            }
            SocketAddr::V6(_) => true,
        };
        let listens =
            fields.get(3) == Some(&LISTENING) && same_port && (same_host || is_any || address.ip().is_unspecified());
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_port_is_named() {
        let first = open_port(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let said = open_port(first.local_addr().unwrap()).unwrap_err();
        let me = format!("(process {})", std::process::id());
        assert!(said.contains(" is taken by ") && said.contains(&me) && said.contains("--listen"), "{said}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_a_reason() {
        let said = open_port(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err();
        assert!(said.starts_with("192.0.2.1:0 cannot be listened on: "), "{said}");
    }
}
