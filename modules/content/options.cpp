#include "options.hpp"

#include <gorgone/database_name.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace gorgone::content {
namespace {

std::string without_slashes(std::string folder) {
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  return folder;
}

}  // namespace

Schema schema() {
  using enum OptionType;
  return {
      Option{"allowed_destinations", texts, "",
             "folders in which content may be put on this node, itself or a folder below; missing: wherever the daemon may write"},
      Option{"checks[].destination", path, "",
             "a folder of this node; content for it or for one below is checked where the push brings no check_command"}
          .required(),
      Option{"checks[].command", text, "",
             "must end with status 0 before the content is put in place; {staged} in it is the path of the new content, {destination} the "
             "path "
             "that it is for"}
          .required(),
      Option{"state_dir", path, "",
             "where is kept which files have which hash, so that unchanged ones are not read again; missing: the folder \"content\" beside "
             "the "
             "database"},
      Option{"index_trees", integer, "200", "for so many trees that is kept"}.range(1, 100000),
      Option{"max_files", integer, "500000", "largest tree, in files and folders"}.range(1, 10000000),
      Option{"keep_previous", boolean, "true", "whether the tree that was replaced is kept, for gorgonectl rollback"},
      Option{"unchanged_files", text, "link",
             "what a new tree gets of files that have not changed: a hard link, which takes no time and no space, but a program that "
             "writes to "
             "such a file in place changes the tree that is kept, too; or a copy (by reference where the file system can)"}
          .one_of({"link", "copy"}),
      Option{"push_timeout", integer, "3600", "a push whose node does not answer for so long has failed"}.range(10, 604800).in("seconds"),
      Option{"staged_time", integer, "86400", "what has come of a push that was not finished is kept for so long"}
          .range(60, 31536000)
          .in("seconds"),
      Option{"check_timeout", integer, "300", "how long a check_command may take, with its time in the queue of the module action"}
          .range(1, 86400)
          .in("seconds"),
  };
}

Options read_options(const Settings& settings, const ConfigValue& gorgone) {
  Options options;
  options.state_dir = settings.text("state_dir");
  if (options.state_dir.empty()) options.state_dir = journal_folder(gorgone) + "/content";
  options.index_trees = static_cast<std::size_t>(settings.integer("index_trees"));
  options.allowed = settings.texts("allowed_destinations");
  for (auto& folder : options.allowed) folder = without_slashes(std::move(folder));
  for (const auto& check : settings.items("checks"))
    options.checks.push_back({without_slashes(check.text("destination")), check.text("command")});
  options.limits.entries = static_cast<std::size_t>(settings.integer("max_files"));
  options.keeps_previous = settings.boolean("keep_previous");
  options.links_unchanged = settings.text("unchanged_files") == "link";
  options.silence = std::chrono::seconds(settings.integer("push_timeout"));
  options.staged = std::chrono::seconds(settings.integer("staged_time"));
  options.check = std::chrono::seconds(settings.integer("check_timeout"));
  return options;
}

std::vector<Problem> check_options(const Settings& settings) {
  std::vector<Problem> problems;
  for (const auto& folder : settings.texts("allowed_destinations"))
    if (folder.empty() || folder.front() != '/')
      problems.push_back(
          {Problem::Severity::error, fmt::format("modules.content.allowed_destinations: got \"{}\" ({}), expected absolute paths of "
                                                 "folders (default: anywhere)",
                                                 folder, settings.where("allowed_destinations").text())});
  for (const auto& check : settings.items("checks"))
    if (const auto folder = check.text("destination"); !folder.starts_with('/'))
      problems.push_back(
          {Problem::Severity::error, fmt::format("modules.content.checks[].destination: got \"{}\" ({}), expected a folder's absolute path",
                                                 folder, check.where("destination").text())});
  return problems;
}

std::vector<std::string> with_links_resolved(std::vector<std::string> folders) {
  for (std::size_t i = 0, count = folders.size(); i < count; ++i) {
    std::error_code unknown;
    const auto resolved = std::filesystem::canonical(folders[i], unknown);
    if (!unknown && resolved != folders[i]) folders.push_back(resolved.string());
  }
  return folders;
}

std::string check_for(const std::vector<Check>& checks, const std::string& path) {
  const Check* nearest = nullptr;
  for (const auto& check : checks) {
    // A folder that is named there may be a link itself.
    const auto folders = with_links_resolved({check.destination});
    if (is_allowed(folders, path) && (!nearest || check.destination.size() > nearest->destination.size())) nearest = &check;
  }
  return nearest ? nearest->command : std::string();
}

bool is_allowed(const std::vector<std::string>& folders, const std::string& path) {
  return folders.empty() || std::any_of(folders.begin(), folders.end(), [&](const std::string& folder) {
           return folder == "/" || path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
         });
}

}  // namespace gorgone::content
