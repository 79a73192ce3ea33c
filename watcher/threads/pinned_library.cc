// See pinned_library.h.

#include "watcher/threads/pinned_library.h"

#include <dlfcn.h>

namespace dynweight {

void PinThisLibrary() {
  static const char here = 0;
  Dl_info info;
  if (dladdr(&here, &info) == 0 || info.dli_fname == nullptr) return;
  dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace dynweight
