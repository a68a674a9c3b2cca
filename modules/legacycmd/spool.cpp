#include "spool.hpp"

namespace gorgone::legacycmd {
namespace {

// What is done is noted together: the ids of the messages make it safe to be late with it.
// Of a lane, although the others hold all that may be held.
constexpr std::size_t lane_least = 64 * 1024;
constexpr auto noted_after = std::chrono::milliseconds(100);
// As long as what was accepted lies in memory only, the lines on the disk are all that outlives a kill.
constexpr auto durable_looked_for = std::chrono::milliseconds(500);
constexpr auto told_again_after = std::chrono::seconds(60);

}  // namespace

Spool::Spool(Agent& agent, Lanes& lanes, Options options)
    : agent_(agent),
      lanes_(lanes),
      options_(std::move(options)),
      journal_disk_(agent.gorgone_config()),
      disk_(std::make_shared<SpoolDisk>(options_.disk)),
      watch_(agent.loop(), options_.disk.cmd_file, options_.disk.cmd_dir),
      changed_(agent.loop()) {}

asio::awaitable<void> Spool::watch() {
  co_await watch_.run([this] {
    is_dirty_ = true;
    changed_.notify();
  });
}

asio::awaitable<void> Spool::run() {
  const auto watched = watch_.open();
  if (watched)
    agent_.spawn(watch());
  else
    agent_.log().warning("the spool is looked at every {} s only: {}", options_.rescan.count(), watched.error().message);
  for (;;) {
    const auto now = Signal::Clock::now();
    const bool is_due = now >= scanned_ + options_.rescan;
    if (is_due) watch_.renew();
    const bool scans = is_dirty_ || is_due;
    if (scans) scanned_ = now;
    is_dirty_ = false;
    flushed_ = now;
    auto done = co_await take_done();
    const auto most = options_.queued_bytes_max;
    Room room(most - std::min(most, lanes_.bytes()), {most / 4, std::min(lane_least, most / 4)});
    for (const auto& [lane, bytes] : lanes_.bytes_of_lanes()) room.holds(lane, bytes);
    auto work = [disk = disk_, done = std::move(done), scans, room] { return disk->step(done, scans, room); };
    auto step = co_await agent_.blocking(std::move(work));
    tell(step.problems);
    waits_for_grace_ = step.waits_for_grace;
    waits_for_room_ = step.waits_for_room;
    for (auto& job : step.jobs) give(std::move(job));
    co_await wait();
  }
}

// What may be noted: it lies in the journal's file and, where that can be had, on the disk.
asio::awaitable<std::vector<SpoolDisk::Done>> Spool::take_done() {
  std::vector<SpoolDisk::Done> done;
  if (done_.empty() || !agent_.journal().is_durable()) co_return done;
  const auto taken = std::exchange(done_, {});
  Result<void> forced;
  auto sync = [disk = journal_disk_] { return disk.sync(); };
  if (journal_disk_.is_needed()) forced = co_await agent_.blocking(std::move(sync));
  for (const auto& [file, places] : taken)
    if (forced)
      done.push_back({file, places});
    else
      done_[file].insert(done_[file].end(), places.begin(), places.end());
  if (!forced) tell({forced.error().message});
  co_return done;
}

// Until there is something to do.
asio::awaitable<void> Spool::wait() {
  for (;;) {
    if (is_dirty_) co_return;
    const auto now = Signal::Clock::now();
    auto until = scanned_ + options_.rescan;
    if (waits_for_room_) until = std::min(until, flushed_ + noted_after);
    if (!done_.empty()) until = std::min(until, flushed_ + (agent_.journal().is_durable() ? noted_after : durable_looked_for));
    if (waits_for_grace_) until = std::min(until, flushed_ + options_.disk.grace);
    if (now >= until) co_return;
    co_await changed_.wait(until);
  }
}

void Spool::give(SpoolDisk::Job from_disk) {
  Job job;
  job.id = std::move(from_disk.id);
  job.source = std::move(from_disk.name);
  job.unit = std::move(from_disk.unit);
  job.done = [this, file = from_disk.file, place = job.unit.places.front(), alive = std::weak_ptr<bool>(alive_)](const Result<void>&) {
    if (alive.expired()) return;
    auto& places = done_[file];
    if (places.empty() && done_.size() == 1) changed_.notify();
    places.push_back(place);
  };
  lanes_.add(std::move(job));
}

void Spool::tell(const std::vector<std::string>& problems) {
  if (Signal::Clock::now() >= told_at_ + told_again_after) {
    told_.clear();
    told_at_ = Signal::Clock::now();
  }
  for (const auto& problem : problems)
    if (told_.insert(problem).second) agent_.log().error("{}", problem);
}

}  // namespace gorgone::legacycmd
