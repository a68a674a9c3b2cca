#include "watch.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/redirect_error.hpp>

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace gorgone::legacycmd {
namespace {

constexpr std::uint32_t written = IN_CLOSE_WRITE | IN_MOVED_TO;
constexpr std::uint32_t replaced = IN_CREATE | IN_MOVED_TO;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Watch::Watch(asio::io_context& loop, std::string cmd_file, std::string cmd_dir)
    : descriptor_(loop),
      file_name_(name_of(cmd_file)),
      file_folder_(parent_of(cmd_file)),
      folder_name_(name_of(cmd_dir)),
      folder_parent_(parent_of(cmd_dir)),
      folder_(std::move(cmd_dir)) {}

Result<void> Watch::open() {
  const int descriptor = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) return Error{fmt::format("no inotify: {}", std::strerror(errno))};
  descriptor_.assign(descriptor);
  renew();
  return {};
}

void Watch::renew() {
  if (!descriptor_.is_open()) return;
  const int handle = descriptor_.native_handle();
  // Each of these does nothing where it is watched already.
  if (!file_name_.empty()) ::inotify_add_watch(handle, file_folder_.c_str(), written | replaced | IN_ONLYDIR);
  if (folder_.empty()) return;
  ::inotify_add_watch(handle, folder_parent_.c_str(), written | replaced | IN_ONLYDIR);
  folder_watch_ = ::inotify_add_watch(handle, folder_.c_str(), written | IN_ONLYDIR);
}

// What we do ourselves in these folders is of no interest: names that begin with a dot, or end in "_read".
bool Watch::concerns(int watch, std::uint32_t mask, const char* name) const {
  if ((mask & IN_Q_OVERFLOW) != 0) return true;
  const std::string_view called = name;
  if (watch != folder_watch_) return (called == file_name_ && (mask & written) != 0) || called == folder_name_;
  return (mask & written) != 0 && !called.starts_with('.') && !called.ends_with("_read");
}

asio::awaitable<void> Watch::run(std::function<void()> changed) {
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const auto size = co_await descriptor_.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    bool is_concerned = false, is_replaced = false;
    for (std::size_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += sizeof(inotify_event) + event->len;
      const char* name = event->len > 0 ? event->name : "";
      if ((event->mask & IN_IGNORED) != 0 || (event->wd != folder_watch_ && name == folder_name_)) is_replaced = true;
      if (concerns(event->wd, event->mask, name)) is_concerned = true;
    }
    if (is_replaced) renew();
    if (is_concerned || is_replaced) changed();
  }
}

}  // namespace gorgone::legacycmd
