// Memory of a virtual machine is a file that somebody else can make shorter. What is touched behind its end is a
// SIGBUS, in whatever thread: here it costs the machine its memory, and not weft its life.
#pragma once

#include <string>

namespace weft {

/// Takes SIGBUS for shared mappings that are cut off: memory that reads as zeros takes their place. All others go where
/// they went before. Once a process.
void guardSharedMemory();

/// The file of the mapping that was replaced last, since the last call; empty when there was none.
std::string takeCutOff();

}  // namespace weft
