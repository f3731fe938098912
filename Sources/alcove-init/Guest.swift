internal import CInit
internal import CInitProtocol

/// The first process of a microVM's guest. It ends with the machine; this process's exit code is
/// that of a machine which cannot.
func runGuest(_ request: GuestRequest?) -> Int32 {
    let began = cinit_monotonic_nanoseconds()
    do throws(GuestError) {
        guard let request else { throw GuestError(step: "the arguments are not understood") }
        if let tree = request.tree {
            try GuestTree(tree).enter()
            _ = cinit_raise_loopback()
        }
        if request.isAlone {
            try mark(request)
        } else {
            var server = try beReady(request, began: began)
            server.run()
        }
    } catch {
        error.tell()
    }
    // The restart of the machine is what its monitor takes for its end. Run by hand, it would be
    // that of the host.
    if cinit_getpid() == 1 { cinit_restart() }
    return ExitCode.initFailed
}

private func mark(_ request: GuestRequest) throws(GuestError) {
    guard let port = request.mark else { return }
    let failed = cinit_mark(port)
    guard failed == 0 else { throw GuestError(step: "mark", number: -failed) }
}

/// Says that the guest is ready. All that is not needed for it comes afterwards.
private func beReady(_ request: GuestRequest, began: UInt64) throws(GuestError) -> GuestServer {
    let listener =
        request.inherited?.commands
        ?? cinit_listen_for_host(UInt32(ALCOVE_GUEST_COMMAND_PORT), Int32(ALCOVE_GUEST_COMMANDS))
    guard listener >= 0 else { throw GuestError(step: "listen", number: -listener) }
    let link =
        request.inherited?.link ?? cinit_connect_host(UInt32(ALCOVE_GUEST_LINK_PORT))
    guard link >= 0 else { throw GuestError(step: "connect", number: -link) }
    var outgoing = Outgoing(session: 0)
    let now = cinit_monotonic_nanoseconds()
    let ready = alcove_guest_ready(
        version: UInt32(ALCOVE_GUEST_VERSION),
        microseconds: UInt32(truncatingIfNeeded: (now - began) / 1000), nanoseconds: now)
    guard outgoing.send(ALCOVE_FRAME_READY, ready, to: link), outgoing.isEmpty else {
        throw GuestError(step: "say that it is ready")
    }
    try mark(request)
    _ = cinit_close_all_on_exec()
    let signals = cinit_open_signals()
    guard signals >= 0 else { throw GuestError(step: "take signals", number: -signals) }
    return GuestServer(link: link, listener: listener, signals: signals)
}
