//! A way to a server that can be cut: whatever is under way stays there, nothing gets through, and nobody is told, as when packets are lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Leads from a port of its own to another one of this machine.
#[derive(Debug)]
pub struct Cable {
    /// Where to come in.
    pub port: u16,
    is_cut: Arc<(Mutex<bool>, Condvar)>,
}

impl Cable {
    /// To this port. Connections end with the process.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let cable = Self { port: listener.local_addr().expect("an address").port(), is_cut: Arc::default() };
        let is_cut = Arc::clone(&cable.is_cut);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let is_cut = Arc::clone(&is_cut);
                std::thread::spawn(move || lead(&near, port, &is_cut));
            }
        });
        cable
    }

    /// Cuts it, or makes it whole again: then what waited goes on.
    pub fn cut(&self, is_cut: bool) {
        *self.is_cut.0.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.is_cut.1.notify_all();
    }
}

fn lead(near: &TcpStream, port: u16, is_cut: &Arc<(Mutex<bool>, Condvar)>) {
    wait(is_cut);
    // Nobody there: the connection ends, as it would with the server itself.
    let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| pass(near, &far, is_cut));
        pass(&far, near, is_cut);
    });
}

fn pass(mut from: &TcpStream, mut to: &TcpStream, is_cut: &Arc<(Mutex<bool>, Condvar)>) {
    let mut room = vec![0; 64 << 10];
    while let Ok(length) = from.read(&mut room) {
        wait(is_cut);
        if length == 0 || to.write_all(&room[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}

fn wait((is_cut, told): &(Mutex<bool>, Condvar)) {
    let mut now = is_cut.lock().unwrap_or_else(PoisonError::into_inner);
    while *now {
        now = told.wait(now).unwrap_or_else(PoisonError::into_inner);
    }
}
