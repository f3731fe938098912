internal import GuestLink
internal import JSON
internal import Machine

// What a monitor tells of itself and of its guest.
extension Monitor {
    var stateName: String {
        if blank != nil { return "blank" }
        if isHeld { return "held" }
        if isPaused { return "paused" }
        return isReady ? "running" : "booting"
    }

    /// What the guest was made with.
    var size: JSONValue {
        let machine = machine?.configuration ?? options.machine
        return [
            "ok": true, "memory_bytes": JSONValue(machine.memoryBytes),
            "processors": JSONValue(machine.processors),
            "limits_processes": .bool(mostProcesses != nil),
        ]
    }

    func statistics(_ guest: GuestStatistics?) -> JSONValue {
        let exits = machine?.exits ?? ExitCounters()
        var object = JSONObject()
        object["ok"] = true
        object["state"] = .string(stateName)
        object["exits"] = [
            "memory": JSONValue(exits.memory), "port": JSONValue(exits.port),
            "interrupted": JSONValue(exits.interrupted), "other": JSONValue(exits.other),
        ]
        object["devices"] = .array(devices.statistics)
        object["failures"] = .array(
            (machine?.failures ?? []).map {
                ["device": .string("\($0.device)"), "reason": .string("\($0.fault)")]
            })
        object["fences"] = [
            "calls": .bool(fences.kinds.contains(.calls)),
            "landlock": JSONValue(fences.landlockVersion ?? 0),
        ]
        // On the monotonic clock, which who asks has, too.
        object["began_nanoseconds"] = JSONValue(timeline.start)
        object["timeline"] = .array(
            moments.map {
                ["stage": .string($0.stage.rawValue), "nanoseconds": JSONValue($0.nanoseconds)]
            })
        if let guest {
            object["guest"] = [
                "memory_total_bytes": JSONValue(guest.memoryTotalBytes),
                "memory_available_bytes": JSONValue(guest.memoryAvailableBytes),
                "cpu_nanoseconds": JSONValue(guest.cpuNanoseconds),
                "processes": JSONValue(guest.processes),
                "out_of_memory_kills": JSONValue(guest.outOfMemoryKills),
            ]
        }
        return .object(object)
    }
}
