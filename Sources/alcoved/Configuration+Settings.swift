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
        networks = configuration.networks.areOn ? Networks(configuration.networks) : nil
        imagesCapacity = configuration.imagesCapacity
        packsImages = configuration.imagesPacking == .lz4
        controlPlane =
            configuration.controlPlaneSocket.isEmpty ? nil : configuration.controlPlaneSocket
    }
}

extension NodeSettings.Networks {
    fileprivate init(_ networks: AgentConfiguration.Networks) {
        self.init(
            slots: networks.slots, uplink: networks.uplink, link: networks.link,
            router: networks.router, managementPrefixes: networks.managementPrefixes,
            underlay: networks.underlay, tunnelPort: networks.tunnelPort, mtu: networks.mtu,
            nameServers: networks.nameServers, leastReady: networks.leastReady,
            mostReady: networks.mostReady)
    }
}

extension Resources {
    fileprivate init(_ amounts: AgentConfiguration.Amounts) {
        self.init(
            milliCPUs: amounts.milliCPUs, memoryBytes: amounts.memoryBytes, pids: amounts.pids,
            diskBytes: amounts.diskBytes)
    }
}
