self.postMessage("Hello from the worker");
