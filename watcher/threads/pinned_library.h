// For threads that a file system holds and that may outlive the module.

#ifndef DYNAMIC_WEIGHT_WATCHER_THREADS_PINNED_LIBRARY_H_
#define DYNAMIC_WEIGHT_WATCHER_THREADS_PINNED_LIBRARY_H_

namespace dynweight {

// Keeps the code of this library in memory for as long as the process lives:
// nginx unloads it before a worker exits. Thread-safe.
void PinThisLibrary();

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WATCHER_THREADS_PINNED_LIBRARY_H_
