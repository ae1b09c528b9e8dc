//! An actix server on its own thread, on a loopback port.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::mpsc,
};

use actix_web::{
    dev::{Server, ServerHandle},
    rt::System,
};

/// An actix server on a loopback port, which runs until this is dropped.
///
/// ```
/// use actix_web::{App, HttpResponse, HttpServer, web};
/// use oauth2_actix::testing::LocalServer;
///
/// let server = LocalServer::start(|listener| {
///     let app = || App::new().route("/", web::get().to(HttpResponse::Ok));
///     Ok(HttpServer::new(app).workers(1).listen(listener)?.run())
/// })?;
/// assert!(server.url("/").starts_with("http://127.0.0.1:"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct LocalServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl LocalServer {
    /// Runs the server that `serve` builds for a listener on a free port.
    ///
    /// # Errors
    ///
    /// An error if there is no free port or thread, or the error of `serve`.
    pub fn start<F>(serve: F) -> io::Result<Self>
    where
        F: FnOnce(TcpListener) -> io::Result<Server> + Send + 'static,
    {
        Self::listen(TcpListener::bind(("127.0.0.1", 0))?, serve)
    }

    /// Runs the server that `serve` builds for an existing listener.
    ///
    /// # Errors
    ///
    /// An error if there is no thread, or the error of `serve`.
    pub fn listen<F>(listener: TcpListener, serve: F) -> io::Result<Self>
    where
        F: FnOnce(TcpListener) -> io::Result<Server> + Send + 'static,
    {
        let address = listener.local_addr()?;
        let (started, start) = mpsc::channel();
        std::thread::Builder::new().name("local-server".into()).spawn(move || {
            System::new().block_on(async move {
                match serve(listener) {
                    Ok(server) => {
                        let _ = started.send(Ok(server.handle()));
                        let _ = server.await;
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            });
        })?;
        let handle = start.recv().map_err(io::Error::other)??;
        Ok(Self { address, handle })
    }

    /// Returns the address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of a path on the server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        // The stop signal is sent at once; only its completion would have to be awaited.
        drop(self.handle.stop(false));
    }
}

impl fmt::Debug for LocalServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LocalServer({})", self.address)
    }
}
