internal import LinuxKernel

StandardStream.openMissing()
ThisProcess.ignoreBrokenPipes()
KernelThread.shareOneHeap()
VMMProgram.run(Array(CommandLine.arguments.dropFirst()))
