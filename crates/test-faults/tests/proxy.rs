//! A client, a server that answers in capitals, and the way between them.

use std::time::Duration;

use test_faults::{Cut, Pace, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

struct House {
    proxy: Proxy,
    _server: JoinSet<()>,
}

impl House {
    async fn new() -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut guests = JoinSet::new();
            loop {
                let (mut guest, _) = listener.accept().await.unwrap();
                guests.spawn(async move {
                    let mut request = [0; 8];
                    while guest.read_exact(&mut request).await.is_ok() {
                        let _gone = guest.write_all(&request.to_ascii_uppercase()).await;
                    }
                });
            }
        });
        House { proxy: Proxy::to(&url).await, _server: server }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.address()).await.unwrap()
    }
}

/// What comes back; less than asked for when the connection ends.
async fn ask(client: &mut TcpStream) -> String {
    let _gone = client.write_all(b"question").await;
    let (mut reply, mut buffer) = (Vec::new(), [0; 8]);
    while reply.len() < 8 {
        match client.read(&mut buffer).await {
            Ok(read @ 1..) => reply.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn a_connection_is_cut_where_it_is_said_and_once() {
    let house = House::new().await;
    for (cut, answers) in [
        (Cut::RequestBytes(12), ["QUESTION", "", ""]),
        (Cut::ReplyBytes(12), ["QUESTION", "QUES", ""]),
        (Cut::Request(2), ["QUESTION", "", ""]),
        (Cut::Reply(3), ["QUESTION", "QUESTION", ""]),
        (Cut::HalfReply(1), ["QUES", "", ""]),
        (Cut::Reply(9), ["QUESTION", "QUESTION", "QUESTION"]),
    ] {
        house.proxy.cut(Some(cut));
        let mut client = house.client().await;
        for answer in answers {
            assert_eq!(ask(&mut client).await, answer, "{cut:?}");
        }
        let passed = house.proxy.passed();
        assert_eq!(passed.cuts, u64::from(cut != Cut::Reply(9)), "{passed:?}");
        assert_eq!(ask(&mut house.client().await).await, "QUESTION");
    }
    let mut client = house.client().await;
    ask(&mut client).await;
    house.proxy.cut_all();
    assert_eq!(ask(&mut client).await, "");
}

#[tokio::test]
async fn bytes_wait_trickle_or_find_nobody() {
    let house = House::new().await;
    let mut client = house.client().await;
    house.proxy.silence(true);
    assert!(timeout(Duration::from_millis(50), ask(&mut client)).await.is_err());
    house.proxy.silence(false);
    let mut late = [0; 8];
    client.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"QUESTION");
    house.proxy.pace(Some(Pace { bytes: 1, pause: Duration::from_millis(5) }));
    let begun = Instant::now();
    let mut slow = house.client().await;
    assert_eq!(ask(&mut slow).await, "QUESTION");
    assert!(begun.elapsed() >= Duration::from_millis(8 * 5));
    house.proxy.pace(None);
    house.proxy.refuse(true);
    assert_eq!(ask(&mut house.client().await).await, "");
}
