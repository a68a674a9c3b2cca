"""Modules that a test brings along, built as the tree's own are."""
import re
import subprocess

from fleet import BIN, ROOT

# What cmake/options.cmake gives to every target.
FLAGS = ["-std=c++20", "-O0", "-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden", "-fno-gnu-unique", "-Wall", "-Wextra", "-Wpedantic",
         "-Wshadow", "-Wnon-virtual-dtor", "-Wold-style-cast", "-Werror", "-DBOOST_ASIO_SEPARATE_COMPILATION", "-DBOOST_ASIO_DYN_LINK",
         "-DBOOST_ASIO_NO_DEPRECATED", "-DFMT_SHARED"]


def sanitizers():
    """A module is built with what the daemon is built with."""
    cache = BIN.parent / "CMakeCache.txt"
    found = re.search(r"^GORGONE_SANITIZE:\w+=(.+)$", cache.read_text(), re.MULTILINE) if cache.exists() else None
    # GCC warns that ThreadSanitizer does not see fences, of which Boost's headers have some.
    return [f"-fsanitize={found[1]}", "-Wno-error=tsan"] if found else []


def build_module(library, *sources):
    """A shared object of these files."""
    built = subprocess.run(["g++", *FLAGS, *sanitizers(), "-shared", f"-I{ROOT}/include", *sources, "-o", library, f"-L{BIN.parent}/lib/gorgone",
                            "-lgorgone", "-lboost_json", "-lfmt"], capture_output=True, text=True)
    if built.returncode != 0:
        raise AssertionError(f"{library} was not built:\n{built.stderr[-4000:]}")
    return library


# A module whose start and stop each wait for a file.
SLOW = r"""
#include <gorgone/module.hpp>

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <filesystem>

namespace {

using namespace gorgone;

class Slow final : public Module {
 public:
  Slow(Agent& agent, const Settings& settings)
      : agent_(agent), start_file_(settings.text("start_file")), stop_file_(settings.text("stop_file")) {}

  asio::awaitable<Result<void>> start() override {
    agent_.log().notice("is starting");
    co_await wait_for(start_file_);
    co_return Result<void>{};
  }
  asio::awaitable<void> handle(Message message) override {
    agent_.journal().write(NewRow{message.token, code::finished, "{}"});
    co_return;
  }
  asio::awaitable<void> stop() override {
    agent_.log().notice("is stopping");
    co_await wait_for(stop_file_);
    agent_.log().notice("has stopped");
  }

 private:
  asio::awaitable<void> wait_for(std::filesystem::path file) {
    asio::steady_timer pause(agent_.loop());
    while (!file.empty() && !std::filesystem::exists(file)) {
      pause.expires_after(std::chrono::milliseconds(20));
      co_await pause.async_wait(asio::use_awaitable);
    }
  }

  Agent& agent_;
  std::string start_file_, stop_file_;
};

ModuleInfo info() {
  ModuleInfo info;
  info.name = "slow";
  info.help = "Waits.";
  info.schema = {Option{"start_file", OptionType::text, "", "start() ends when it is there"},
                 Option{"stop_file", OptionType::text, "", "stop() ends when it is there"}};
  info.actions = {{"SLOW", "POST", "/core/slow/ask"}};
  info.create = [](Agent& agent, Settings settings) -> std::unique_ptr<Module> { return std::make_unique<Slow>(agent, settings); };
  return info;
}

}  // namespace

GORGONE_MODULE(info)
"""
