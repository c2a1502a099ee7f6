//! What has been counted, as Prometheus would read it.

use std::collections::BTreeMap;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// A recorder, and what it has counted.
pub struct Counters {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Counters {
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// Counts what `run` does on this thread.
    pub fn count<T>(&self, run: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        metrics::with_local_recorder(&self.recorder, || runtime.block_on(run))
    }

    /// Counts what the whole process does from now on.
    pub fn of_process(self) -> PrometheusHandle {
        metrics::set_global_recorder(self.recorder).expect("the first recorder");
        self.handle
    }

    /// Returns what Prometheus would read.
    pub fn text(&self) -> String {
        self.handle.render()
    }

    pub fn read(&self) -> BTreeMap<String, u64> {
        read(&self.handle)
    }
}

/// Returns each counter with its labels, without the beginning that all have.
pub fn read(handle: &PrometheusHandle) -> BTreeMap<String, u64> {
    let text = handle.render();
    let lines = text.lines().filter_map(|line| line.strip_prefix("static_url_")?.rsplit_once(' '));
    let counters = lines.filter(|(name, _)| !name.starts_with("reload_seconds"));
    counters.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}
