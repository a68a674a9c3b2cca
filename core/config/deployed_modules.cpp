#include <core/config/deployed_modules.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace gorgone {

std::string_view lost_without(std::string_view package) {
  using Entry = std::pair<std::string_view, std::string_view>;
  // docs/migration.md has the same list, with what can be done about it.
  static constexpr std::array entries{
      Entry{"gorgone::modules::core::cron::hooks", "the jobs of its cron (cron.d) do not run"},
      Entry{"gorgone::modules::core::pipeline::hooks", "pipelines are not taken"},
      Entry{"gorgone::modules::centreon::statistics::hooks", "the statistics of engines and brokers are not collected"},
      Entry{"gorgone::modules::centreon::autodiscovery::hooks", "hosts and services are not discovered"},
      Entry{"gorgone::modules::centreon::audit::hooks", "audits of the platform are not made"},
      Entry{"gorgone::modules::centreon::anomalydetection::hooks", "models and thresholds of anomaly detection are not fetched"},
      Entry{"gorgone::modules::centreon::judge::hooks", "hosts of a poller that fails are not moved to another"},
      Entry{"gorgone::modules::centreon::mbi::etl::hooks", "the ETL of MBI is not run"},
      Entry{"gorgone::modules::centreon::mbi::etlworkers::hooks", "this node does no work for the ETL of MBI"},
      Entry{"gorgone::modules::plugins::newtest::hooks", "results of NewTest are not fetched"},
      Entry{"gorgone::modules::plugins::scom::hooks", "alerts of SCOM are not fetched"},
  };
  const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.first == package; });
  return found == entries.end() ? std::string_view() : found->second;
}

}  // namespace gorgone
