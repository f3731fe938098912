import AgentAPI
import ProtocolBuffers

/// Every type of message that the agent speaks.
enum MessageTypes {
    static let all: [any Message.Type] = [
        AgentMessage.self, AgentMessage.Heartbeat.self, AgentMessage.Hello.self,
        AgentMessage.Resync.self, CPUModel.self, Capacity.self, CapacityRequest.self,
        CapacityResponse.self, CheckRequest.self, CheckResponse.self,
        CheckResponse.Problem.self, CheckResponse.Progress.self, CheckResponse.Result.self,
        Condition.self, ControlMessage.self,
        ControlMessage.Acknowledgement.self, ControlMessage.ResyncOrder.self,
        ControlMessage.Welcome.self, CreateRequest.self, CreateResponse.self, DeleteRequest.self,
        DeleteResponse.self, DrainRequest.self, DrainRequest.Begin.self, DrainRequest.End.self,
        DrainResponse.self, Ending.self, Ending.Denied.self, Ending.Failed.self,
        Ending.OutOfMemory.self, Ending.TimedOut.self, ErrorDetail.self,
        ErrorDetail.Shortage.self, Event.self, Event.Adopted.self, Event.AgentStarted.self,
        Event.Created.self, Event.DrainEnded.self, Event.DrainStarted.self, Event.Heartbeat.self,
        Event.OrphanRemoved.self, Event.Removed.self, Event.ResourcesUpdated.self,
        Event.StateChanged.self, Event.Undone.self, ExecRequest.self, ExecRequest.Start.self,
        ExecRequest.StdinEnd.self, ExecResponse.self, ExecResponse.Started.self, Exit.self,
        Exit.Signal.self, GetRequest.self, GetResponse.self, IdentityMap.self, Image.self,
        ImageConfig.self, ImageLayer.self,
        ImportRequest.self, ImportResponse.self, ImportResponse.Progress.self,
        ImportResponse.Result.self, InfoRequest.self, InfoResponse.self,
        LimitStatus.self, Limits.self, ListImagesRequest.self, ListImagesResponse.self,
        ListRequest.self, ListResponse.self, LogEntry.self, LogsRequest.self, Moment.self,
        OfferedIsolation.self, Outcome.self, OverCommit.self, Overhead.self, PauseRequest.self,
        PauseResponse.self, PinRequest.self, PinResponse.self, Pressure.self, Pressure.Stall.self,
        ProcessLimit.self,
        PruneRequest.self, PruneResponse.self, RegisterRequest.self, RegisterResponse.self,
        RemoveRequest.self, RemoveResponse.self, ResolvedSpec.self, Resources.self,
        ResumeRequest.self,
        ResumeResponse.self, Sandbox.self, SandboxSpec.self, SnapshotRequest.self,
        SnapshotResponse.self, StartRequest.self, StartResponse.self, StatsRequest.self,
        StatsResponse.self, StatsResponse.CPU.self, StatsResponse.IO.self,
        StatsResponse.Memory.self, StatsResponse.Network.self, StatsResponse.Pids.self,
        StopRequest.self, StopResponse.self, StoreUsage.self, TerminalSize.self,
        UpdateResourcesRequest.self,
        UpdateResourcesResponse.self, Usage.self, WaitRequest.self, WaitResponse.self,
        WatchCapacityRequest.self, WatchRequest.self, AnyMessage.self, Status.self,
        HealthCheckRequest.self, HealthCheckResponse.self, HealthListRequest.self,
        HealthListResponse.self, ErrorResponse.self,
        ExtensionNumberResponse.self, ExtensionRequest.self, FileDescriptorResponse.self,
        ListServiceResponse.self, ServerReflectionRequest.self, ServerReflectionResponse.self,
        ServiceResponse.self,
    ]

    static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.messageName, $0) })
}
