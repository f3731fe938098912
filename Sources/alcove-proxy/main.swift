internal import Console
internal import LinuxKernel

StandardStream.openMissing()
// Clients end before what is written to them.
ThisProcess.ignoreBrokenPipes()
ProxyProgram.run(Array(CommandLine.arguments.dropFirst()))
