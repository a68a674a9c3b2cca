#include "core/last_abort.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string_view>

#include "core/log_file.hpp"

namespace gorgone {
namespace {

std::array<void*, 64> frames;

// The C library aborts by itself where it finds its heap broken, whoever called it.
bool is_by_libzmq() {
  const int count = ::backtrace(frames.data(), static_cast<int>(frames.size()));
  bool is_caller = false;
  for (int i = 0; i < count; ++i) {
    Dl_info info{};
    if (::dladdr(frames[static_cast<std::size_t>(i)], &info) == 0) return false;
    if (is_caller) return std::string_view(info.dli_fname ? info.dli_fname : "").find("libzmq") != std::string_view::npos;
    is_caller = info.dli_sname && std::string_view(info.dli_sname) == "abort";
  }
  return false;
}

void on_abort(int) {
  if (is_by_libzmq()) {
    log_from_signal(Severity::warning, "stopped; libzmq aborted while connections were closed, when everything was written");
    _exit(0);
  }
  log_from_signal(Severity::error, "aborted in the last steps of the stop, a bug: everything was written before");
  _exit(1);
}

}  // namespace

void end_well_where_libzmq_aborts() {
  // Its first call loads a library, which a handler must not do.
  (void)::backtrace(frames.data(), 1);
  std::signal(SIGABRT, on_abort);
}

}  // namespace gorgone
