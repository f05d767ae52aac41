"""The whole site on a real cluster, the one that KUBECONFIG names: `make test-cluster`."""
