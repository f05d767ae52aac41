"""The stateless site as Kubernetes manifests. What renders and applies them will stand here."""
