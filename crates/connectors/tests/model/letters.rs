//! Where the simulator's hooks go: into a box, from which a test lets them arrive when and as often as it likes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use engine::inbox::Arrival;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One delivery as it was sent.
#[derive(Clone, Debug)]
struct Letter {
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Deliveries that were sent and have not arrived.
pub(super) struct Letters {
    pub(super) url: String,
    waiting: Arc<Mutex<Vec<Letter>>>,
    /// Ends with the box.
    _serving: JoinSet<()>,
}

impl Letters {
    pub(super) async fn open() -> Letters {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let waiting = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, Arc::clone(&waiting)));
        Letters { url, waiting, _serving: serving }
    }

    pub(super) fn count(&self) -> usize {
        self.waiting.lock().unwrap().len()
    }

    /// The delivery at `place`, to arrive now; left in the box where it is to come `again`.
    pub(super) fn take(&self, place: usize, again: bool) -> Arrival {
        let mut waiting = self.waiting.lock().unwrap();
        let letter = if again { waiting[place].clone() } else { waiting.remove(place) };
        let id = letter.headers.iter().find(|(name, _)| name == "x-coding-delivery");
        Arrival {
            delivery_id: id.map(|(_, id)| id.clone()),
            received: Timestamp::now(),
            headers: letter.headers,
            body: letter.body,
        }
    }
}

async fn serve(listener: TcpListener, waiting: Arc<Mutex<Vec<Letter>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let waiting = Arc::clone(&waiting);
        connections.spawn(async move {
            let mut stream = BufReader::new(stream);
            let letter = read(&mut stream).await;
            waiting.lock().unwrap().push(letter);
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Reads one request.
async fn read(stream: &mut BufReader<TcpStream>) -> Letter {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").unwrap().1.parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Letter { headers, body: body.into() }
}
