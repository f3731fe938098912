"""The messages and services of proto/alcove/v1, loaded from there: nothing is generated ahead."""
import os
import sys

import grpc

PROTO = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "proto")
sys.path.append(os.path.realpath(PROTO))


def _load(name):
    return grpc.protos_and_services(f"alcove/v1/{name}.proto")


types, _ = _load("types")
sandboxes, sandbox_services = _load("sandboxes")
images, image_services = _load("images")
networks, network_services = _load("networks")
node, node_services = _load("node")
control_plane, control_plane_services = _load("control_plane")
status = grpc.protos("google/rpc/status.proto")


def detail(error):
    """What a failed call says beyond its code and message; None where it says nothing."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for each in status.Status.FromString(value).details:
                found = types.ErrorDetail()
                if each.Unpack(found):
                    return found
    return None
