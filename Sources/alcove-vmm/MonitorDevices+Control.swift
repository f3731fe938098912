internal import JSON
internal import Virtio

// What the control socket asks of devices, and what they tell.
extension MonitorDevices {
    private static let pageBytes: UInt64 = 4096

    /// Does what a word of the control socket asks of a device.
    func perform(_ word: String, _ request: JSONValue) throws(ControlError) {
        switch word {
        case "balloon": try fillBalloon(request)
        case "limits": try limit(request)
        case "disk": try limitDisks(request)
        default: throw ControlError(reason: "there is no such word")
        }
    }

    private func fillBalloon(_ request: JSONValue) throws(ControlError) {
        guard let bytes = request["bytes"]?.uint64, bytes / Self.pageBytes <= UInt64(UInt32.max)
        else {
            throw ControlError(reason: "`bytes` is how much of its memory the guest gives back")
        }
        guard let balloon else { return }
        balloon.transport.withDevice { _ in
            balloon.device.setTarget(pages: UInt32(bytes / Self.pageBytes))
        }
    }

    /// Bytes a second from and to all disks together; 0 takes a limit away, and what is not named
    /// stays as it is.
    private func limitDisks(_ request: JSONValue) throws(ControlError) {
        let now = diskBudget.limits
        let read = try rate(request, "read_bytes") ?? now.reads.bytes?.perSecond
        let write = try rate(request, "write_bytes") ?? now.writes.bytes?.perSecond
        limitDisks(read: read, write: write)
        for (device, transport) in disks { transport.withDevice { _ in device.limitsChanged() } }
    }

    func limitDisks(read: UInt64?, write: UInt64?) {
        diskBudget.change(
            reads: TransferLimits(bytes: read.flatMap(Self.limit)),
            writes: TransferLimits(bytes: write.flatMap(Self.limit)))
    }

    /// A tenth of a second at once.
    private static func limit(_ rate: UInt64) -> TokenBucket.Limit? {
        TokenBucket.Limit(perSecond: rate, burst: max(1, rate / 10))
    }

    /// Rates of disks and of the network, each a number a second; 0 takes a limit away.
    private func limit(_ request: JSONValue) throws(ControlError) {
        let disk = try limits(request, "disk")
        let toGuest = try limits(request, "receive")
        let fromGuest = try limits(request, "send")
        for (device, transport) in disks {
            transport.withDevice { _ in device.setLimits(disk) }
        }
        guard let network else { return }
        network.transport.withDevice { _ in
            network.device.change(fromGuest: fromGuest, toGuest: toGuest)
        }
    }

    private func limits(_ request: JSONValue, _ what: String) throws(ControlError) -> TransferLimits
    {
        TransferLimits(
            bytes: try rate(request, what + "_bytes").flatMap(Self.limit),
            operations: try rate(request, what + "_operations").flatMap(Self.limit))
    }

    private func rate(
        _ request: JSONValue, _ name: String
    ) throws(ControlError) -> UInt64? {
        guard let value = request[name] else { return nil }
        guard let rate = value.uint64 else {
            throw ControlError(reason: "`\(name)` is no number a second")
        }
        return rate
    }

    /// Counters of each device.
    var statistics: [JSONValue] {
        disks.map { disk in Self.statistics(of: disk.transport.reading { disk.device.counters }) }
            + [socketStatistics, balloonStatistics, networkStatistics, consoleStatistics]
            .compactMap { $0 }
    }

    private static func statistics(of counters: BlockDevice.Counters) -> JSONValue {
        [
            "device": "block", "reads": JSONValue(counters.reads),
            "read_bytes": JSONValue(counters.readBytes), "writes": JSONValue(counters.writes),
            "written_bytes": JSONValue(counters.writtenBytes),
            "flushes": JSONValue(counters.flushes), "errors": JSONValue(counters.errors),
            "throttled": JSONValue(counters.throttled),
        ]
    }

    private var socketStatistics: JSONValue? {
        guard let sockets else { return nil }
        let counters = sockets.transport.reading { sockets.device.counters }
        return [
            "device": "socket", "opened": JSONValue(counters.opened),
            "refused": JSONValue(counters.refused), "resets": JSONValue(counters.resets),
            "bytes_from_guest": JSONValue(counters.bytesFromGuest),
            "bytes_to_guest": JSONValue(counters.bytesToGuest),
        ]
    }

    private var balloonStatistics: JSONValue? {
        guard let balloon else { return nil }
        let pages = balloon.transport.reading {
            (target: balloon.device.targetPages, actual: balloon.device.actualPages)
        }
        return [
            "device": "balloon", "target_bytes": JSONValue(UInt64(pages.target) * Self.pageBytes),
            "actual_bytes": JSONValue(UInt64(pages.actual) * Self.pageBytes),
        ]
    }

    private var networkStatistics: JSONValue? {
        guard let network else { return nil }
        let counters = network.transport.reading { network.device.counters }
        return [
            "device": "network", "packets_from_guest": JSONValue(counters.packetsFromGuest),
            "bytes_from_guest": JSONValue(counters.bytesFromGuest),
            "packets_to_guest": JSONValue(counters.packetsToGuest),
            "bytes_to_guest": JSONValue(counters.bytesToGuest),
            "invalid": JSONValue(counters.invalid), "dropped": JSONValue(counters.dropped),
        ]
    }

    private var consoleStatistics: JSONValue? {
        guard let console else { return nil }
        let counters = console.transport.reading { console.device.counters }
        return [
            "device": "console", "output_bytes": JSONValue(counters.outputBytes),
            "dropped_bytes": JSONValue(counters.droppedBytes),
        ]
    }
}
