internal import GuestMemory

// A device is saved between two turns of its loop, while no processor runs, and put into one that
// was attached and not used yet.
extension TransportState {
    private static let mostQueues = 16
    /// More than any device has.
    private static let mostDeviceBytes = 1 << 20

    /// Writes all that the device and its driver have agreed on. Nothing is in flight.
    func save(into writer: inout StateWriter, cause: (bits: UInt32, generation: UInt32)) {
        let kind = device.kind
        writer.put(kind.rawValue)
        writer.put(device.features)
        writer.put(driverFeatures)
        writer.put(status)
        writer.put(deviceFeaturesSelect)
        writer.put(driverFeaturesSelect)
        writer.put(queueSelect)
        writer.put(cause.bits)
        writer.put(cause.generation)
        writer.put(link != nil)
        let working = link?.queues
        writer.put(Array(queues.indices)) { writer, index in
            let setting = queues[index]
            writer.put(setting.isReady)
            writer.put(setting.layout.size)
            writer.put(setting.layout.descriptors.rawValue)
            writer.put(setting.layout.available.rawValue)
            writer.put(setting.layout.used.rawValue)
            let queue = working?[index]
            let untouched = queue == nil ? 0 : UInt16(device.untouched(index))
            writer.put((queue?.nextAvailable ?? 0) &- untouched)
            writer.put(queue?.nextUsed ?? 0)
            writer.put(queue?.isTold ?? true)
        }
        var own = StateWriter()
        device.save(into: &own)
        writer.put(own.bytes)
    }

    /// Becomes what was saved.
    ///
    /// - Parameter makeLink: what the device works with, of these queues.
    /// - Returns: the interrupt's cause, and whether the driver is to be interrupted.
    mutating func restore(
        from reader: inout StateReader, in memory: GuestMemory,
        _ makeLink: (UInt64, [VirtQueue?]) -> DeviceLink
    ) throws(StateFault) -> (bits: UInt32, generation: UInt32) {
        let kind: UInt32 = try reader.number()
        guard kind == device.kind.rawValue else {
            let name = VirtioKind(rawValue: kind).map { "\($0)" } ?? "device of kind \(kind)"
            throw .different("it has a \(name) where this machine has a \(device.kind)")
        }
        guard try reader.number(UInt64.self) == device.features else {
            throw .different("its \(device.kind) device offers other features")
        }
        driverFeatures = try reader.number()
        status = try reader.number()
        deviceFeaturesSelect = try reader.number()
        driverFeaturesSelect = try reader.number()
        queueSelect = try reader.number()
        var bits: UInt32 = try reader.number()
        let generation: UInt32 = try reader.number()
        let works = try reader.flag()
        guard status & ~(Status.known | Status.needsReset) == 0, bits & ~3 == 0,
            driverFeatures & ~offered == 0 || status & Status.featuresOK == 0,
            !works || status & Status.driverOK != 0
        else { throw .badValue("the state of a device") }
        var isTold = true
        let most = queues.map(\.most)
        let saved = try reader.list(atMost: Self.mostQueues) { (reader) throws(StateFault) in
            try SavedQueue(&reader)
        }
        guard saved.count == most.count else { throw .badValue("the queues of a device") }
        for (index, queue) in saved.enumerated() {
            queues[index].isReady = queue.isReady
            queues[index].layout = queue.layout
            isTold = isTold && queue.isTold
        }
        let own = try reader.piece(atMost: Self.mostDeviceBytes)
        var ownReader = StateReader(own)
        do throws(DeviceFault) {
            if works {
                link = makeLink(driverFeatures, try makeQueues(in: memory, at: saved))
            }
        } catch {
            throw .device(device.kind, error)
        }
        try device.restore(from: &ownReader, link)
        try ownReader.finish()
        if !isTold { bits |= VirtioTransport.Cause.usedBuffers.rawValue }
        return (bits, generation)
    }

    private func makeQueues(
        in memory: GuestMemory, at saved: [SavedQueue]
    ) throws(DeviceFault) -> [VirtQueue?] {
        var result: [VirtQueue?] = []
        for (setting, queue) in zip(queues, saved) {
            guard setting.isReady else {
                result.append(nil)
                continue
            }
            guard setting.layout.size <= setting.most else {
                throw .badQueueSize(setting.layout.size)
            }
            result.append(
                try VirtQueue(
                    setting.layout, in: memory, usesEventIndex: usesEventIndex,
                    nextAvailable: queue.nextAvailable, nextUsed: queue.nextUsed))
        }
        return result
    }
}

/// A queue as it was saved.
private struct SavedQueue {
    let isReady: Bool
    let layout: QueueLayout
    let nextAvailable: UInt16
    let nextUsed: UInt16
    /// Whether the driver was told of all that was given back.
    let isTold: Bool

    init(_ reader: inout StateReader) throws(StateFault) {
        isReady = try reader.flag()
        let size: UInt16 = try reader.number()
        let descriptors = GuestAddress(rawValue: try reader.number())
        let available = GuestAddress(rawValue: try reader.number())
        layout = QueueLayout(
            size: size, descriptors: descriptors, available: available,
            used: GuestAddress(rawValue: try reader.number()))
        nextAvailable = try reader.number()
        nextUsed = try reader.number()
        isTold = try reader.flag()
    }
}
