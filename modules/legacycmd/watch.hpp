#pragma once
// Tells when a file was written in the spool's folder or the spool file itself, by inotify. Folders that are missing or replaced are
// found again by renew(). On the loop.

#include <gorgone/agent.hpp>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>

namespace gorgone::legacycmd {

class Watch {
 public:
  Watch(asio::io_context& loop, std::string cmd_file, std::string cmd_dir);

  /// Why there is none; the spool is then looked at from time to time only.
  Result<void> open();
  /// Watches what is there now.
  void renew();
  /// Reads events to its end, which is its cancellation.
  asio::awaitable<void> run(std::function<void()> changed);

 private:
  bool concerns(int watch, std::uint32_t mask, const char* name) const;

  asio::posix::stream_descriptor descriptor_;
  std::string file_name_, file_folder_, folder_name_, folder_parent_, folder_;
  int folder_watch_ = -1;
};

}  // namespace gorgone::legacycmd
