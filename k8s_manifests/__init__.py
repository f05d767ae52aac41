"""The stateless site: site file -> values -> manifests -> cluster, and back to its status.

What the workloads look like is the charts' business alone. No credential is known here: Secrets are named, never read.
"""
