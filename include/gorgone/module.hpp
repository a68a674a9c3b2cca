#pragma once
// A module: an ABI stamp, a schema, its actions, a handler. docs/adding-a-module.md walks through the smallest one.

#include <gorgone/agent.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/version.hpp>

#include <memory>
#include <string>
#include <vector>

namespace gorgone {

/// An action that the module serves. `method` and `path` ("POST", "/core/action/command") open it to the HTTP API; empty: it is not.
struct Action {
  std::string name;
  std::string method = {};
  std::string path = {};
};

/// Lives on the loop. Made, started, given messages, stopped, destroyed: in that order, each once.
class GORGONE_API Module {
 public:
  virtual ~Module() = default;
  /// Binds sockets, registers itself. An Error keeps the module from running; it is logged.
  virtual asio::awaitable<Result<void>> start() { co_return Result<void>{}; }
  /// Runs one message of the module's actions. The request is acknowledged already; what comes of it are rows in the
  /// journal under the message's token. Messages are begun in the order they came. An exception is logged and becomes a row with code 1.
  virtual asio::awaitable<void> handle(Message message) = 0;
  /// Accepts nothing more; what was spawned is cancelled after this.
  virtual asio::awaitable<void> stop() { co_return; }
  /// Not nullptr where the module offers links (ModuleInfo::offers_links).
  virtual LinkFactory* link_factory() { return nullptr; }
};

/// What a shared object says of itself.
struct ModuleInfo {
  std::string name;  ///< as in "gorgone::modules::core::<name>::hooks"
  std::string help;  ///< one paragraph for docs/modules/
  Schema schema;
  std::vector<Action> actions;
  std::unique_ptr<Module> (*create)(Agent& agent, Settings settings);
  /// More checks than the schema can say; may be nullptr. Does nothing but look.
  std::vector<Problem> (*check)(const Settings& settings) = nullptr;
  /// Its link_factory() opens links to nodes whose type is this module's name; such a module is loaded when a node asks for it.
  bool offers_links = false;
  /// A door for clients, such as an API: at the start of the daemon it is opened after all other modules.
  bool serves_clients = false;
};

// The stamp names all that must be the same on both sides of the border. GORGONE_ABI_VERSION rises with each change of a
// header in include/gorgone/ that a built module would notice.
#define GORGONE_ABI_VERSION 11
#define GORGONE_STRING_(x) #x
#define GORGONE_STRING(x) GORGONE_STRING_(x)
#if defined(__SANITIZE_THREAD__)
#define GORGONE_SANITIZER " tsan"
#elif defined(__SANITIZE_ADDRESS__)
#define GORGONE_SANITIZER " asan"
#else
#define GORGONE_SANITIZER ""
#endif
#define GORGONE_ABI                                                                                                                  \
  "gorgone-module abi " GORGONE_STRING(GORGONE_ABI_VERSION) " gcc " GORGONE_STRING(__GNUC__) " boost " GORGONE_STRING(BOOST_VERSION) \
      GORGONE_SANITIZER

/// Defines the two symbols that the daemon looks for. `info` is a function that returns a ModuleInfo.
#define GORGONE_MODULE(info)                                               \
  extern "C" GORGONE_API const char gorgone_module_abi[];                  \
  extern "C" const char gorgone_module_abi[] = GORGONE_ABI;                \
  extern "C" GORGONE_API const gorgone::ModuleInfo* gorgone_module_info(); \
  extern "C" const gorgone::ModuleInfo* gorgone_module_info() {            \
    static const gorgone::ModuleInfo instance = info();                    \
    return &instance;                                                      \
  }

}  // namespace gorgone
