//! A key distribution service on loopback that does as it is told, and a clock that is always as late as it must be.

use super::fetch::Time;
use super::key::{BaseUrl, Product, VcekKey};
use assay_protocol::ids::ChipId;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Half a minute before 6 November 1994, 08:49:37 GMT.
pub const START_MS: u64 = 784_111_747_000;

pub fn key(chip: u8, tcb: u8) -> VcekKey {
    VcekKey::new(Product::Milan, ChipId([chip; 64]), tcb.into()).unwrap()
}

/// `length` bytes that look like a certificate.
pub fn certificate(fill: u8, length: usize) -> Vec<u8> {
    let content = u16::try_from(length - 4).unwrap();
    let mut bytes = vec![0x30, 0x82];
    bytes.extend(content.to_be_bytes());
    bytes.resize(length, fill);
    bytes
}

pub fn chain() -> Vec<u8> {
    let one = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    one.repeat(2).into_bytes()
}

/// Sleeping moves it on at once.
pub struct FakeTime(AtomicU64);

impl FakeTime {
    pub fn start() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(START_MS)))
    }

    pub fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Time for FakeTime {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn sleep_ms(&self, ms: u64) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.pass(ms);
        })
    }
}

/// What the service answers.
pub enum Say {
    /// These bytes, and the end of the connection.
    Raw(Vec<u8>),
    /// Nothing.
    Silence,
    /// The head of an answer, and a byte of its body now and then.
    Drip,
}

impl Say {
    pub fn status(status: u16, headers: &str) -> Self {
        Self::Raw(reply(status, headers, b"not what you want"))
    }

    pub fn ok(body: &[u8]) -> Self {
        Self::Raw(reply(200, "", body))
    }
}

pub fn reply(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Status\r\ncontent-length: {length}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// One request as the service saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path and query.
    pub path: String,
    pub at_ms: u64,
    pub instant: Instant,
}

/// The service. Ends with the runtime.
pub struct FakeKds {
    pub base: BaseUrl,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl FakeKds {
    /// `say` gets the number of the request, from 0, and its path.
    pub async fn start(
        time: Arc<FakeTime>,
        say: impl Fn(usize, &str) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (list, say) = (Arc::clone(&seen), Arc::new(say));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (list, say, time) = (Arc::clone(&list), Arc::clone(&say), Arc::clone(&time));
                tokio::spawn(async move { serve(socket, &list, &time, say.as_ref()).await });
            }
        });
        let base = BaseUrl::try_from(format!("http://{address}")).unwrap();
        Self { base, seen }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Time between each request and the one before, by the fake clock.
    pub fn gaps_ms(&self) -> Vec<u64> {
        let times: Vec<u64> = self.seen().iter().map(|seen| seen.at_ms).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

async fn serve(
    mut socket: TcpStream,
    list: &Mutex<Vec<Seen>>,
    time: &FakeTime,
    say: &(impl Fn(usize, &str) -> Say + Sync),
) -> Option<()> {
    let path = path_of(&mut socket).await?;
    let number = {
        let mut list = list.lock().unwrap();
        list.push(Seen {
            path: path.clone(),
            at_ms: time.now_ms(),
            instant: Instant::now(),
        });
        list.len() - 1
    };
    match say(number, &path) {
        Say::Raw(bytes) => {
            socket.write_all(&bytes).await.ok()?;
            socket.shutdown().await.ok()
        }
        Say::Silence => std::future::pending().await,
        Say::Drip => {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 16000\r\n\r\n";
            socket.write_all(head).await.ok()?;
            loop {
                socket.write_all(&[0x30]).await.ok()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn path_of(socket: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.strip_prefix("GET ")?.split(' ').next()?;
    Some(path.to_owned())
}
