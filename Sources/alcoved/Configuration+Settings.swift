internal import Agent
internal import AgentOperations
internal import SandboxModel

extension NodeSettings {
    init(_ configuration: AgentConfiguration) {
        self.init()
        nodeName = configuration.nodeName
        labels = configuration.nodeLabels
        stateDirectory = configuration.stateDirectory
        scratchDirectory =
            configuration.scratchDirectory.isEmpty
            ? stateDirectory + "/scratch" : configuration.scratchDirectory
        cgroupParent = configuration.cgroupParent
        initProgram = configuration.initProgram
        keptBack = Resources(configuration.keptBack)
        defaultRequest = Resources(configuration.defaultRequest)
        overCommit = OverCommit(
            cpuPermille: configuration.overCommitCPUPermille,
            memoryPermille: configuration.overCommitMemoryPermille)
        sandboxesLimit = configuration.sandboxesLimit
        addressesLimit = configuration.addressesLimit
        startsInFlight = configuration.startsInFlight
        startsQueued = configuration.startsQueued
        startQueueTimeout = configuration.startQueueTimeout
        logBytes = configuration.logBytes
        eventsKept = configuration.eventsKept
        allowsProcessIsolation = configuration.allowsProcessIsolation
        microVMs = MicroVMs(rawValue: configuration.microVMs.rawValue) ?? .auto
        monitorDirectory = configuration.monitorDirectory
        allLimitsAreBestEffort = configuration.limitPolicy == .bestEffort
        spareNetworks = configuration.spareNetworks
        imagesCapacity = configuration.imagesCapacity
        packsImages = configuration.imagesPacking == .lz4
        controlPlane =
            configuration.controlPlaneSocket.isEmpty ? nil : configuration.controlPlaneSocket
    }
}

extension Resources {
    fileprivate init(_ amounts: AgentConfiguration.Amounts) {
        self.init(
            milliCPUs: amounts.milliCPUs, memoryBytes: amounts.memoryBytes, pids: amounts.pids,
            diskBytes: amounts.diskBytes)
    }
}
