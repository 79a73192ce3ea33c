// See watcher.h.

#include "watcher/watcher.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "watcher/cluster_status.h"
#include "watcher/cluster_watcher.h"
#include "watcher/handoff.h"
#include "watcher/karmada/control_plane.h"
#include "watcher/kubernetes/kubernetes_discovery.h"
#include "watcher/nacos/nacos_discovery.h"
#include "watcher/outlier/outlier_detector.h"
#include "watcher/probe/prober.h"
#include "watcher/state/held_views.h"
#include "watcher/state/state_file.h"
#include "watcher/state/state_saver.h"
#include "watcher/text/json_value.h"
#include "watcher/text/log_queue.h"
#include "watcher/threads/background_look.h"
#include "watcher/transport/credentials_look.h"
#include "watcher/transport/curl_transport.h"
#include "watcher/update_planner.h"
#include "weightcalc/clock.h"

namespace dynweight {
namespace {

// For so long after a change went out nothing is read, or for coalesce_ms if
// that is shorter: where events come thickly they are taken several at a time,
// which costs much less than a wake-up of two threads for each. A single event
// does not wait.
constexpr int64_t kGatherMs = 50;
// Files are read so often, on threads that may hang alone.
constexpr int64_t kCredentialsPauseMs = 1000;
constexpr int64_t kTuningPauseMs = 100;
// A look that takes longer is told of.
constexpr int64_t kHangMs = 5000;
// What the first look at the tuning file may take; a file system that takes
// longer is told of a little early.
constexpr int64_t kFirstLookMs = 500;
// From an exception (no memory, that is) to the next attempt.
constexpr int64_t kFirstRetryMs = 1000;
constexpr int64_t kMaxRetryMs = 30000;
// A run of this length ended well enough to begin again with kFirstRetryMs.
constexpr int64_t kGoodRunMs = 60000;

// All signals but those that a fault of the thread itself raises are blocked
// while this lives, and in threads that are created meanwhile.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t set;
    sigfillset(&set);
    for (const int fault : {SIGILL, SIGFPE, SIGSEGV, SIGBUS}) {
      sigdelset(&set, fault);
    }
    pthread_sigmask(SIG_SETMASK, &set, &previous_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &previous_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t previous_;
};

class WatcherThread : public Watcher {
 public:
  WatcherThread(const WatcherConfig& config, std::vector<PeerTable> tables,
                const Held& held, int wake_fd)
      : config_(config),
        tables_(std::move(tables)),
        handoff_(wake_fd),
        change_log_(config, &clock_),
        tuning_(
            config, [this](const std::string&) { return TuningText(); },
            &clock_, &log_),
        saver_(config.state_file, WriteStateFile, &log_,
               [this] { handoff_.Wake(); }) {
    std::vector<ClusterView> known = held.views;
    known.insert(known.end(), held.retained.begin(), held.retained.end());
    TakenOver taken = TakeOver(config, std::move(known), clock_.UnixMs());
    views_ = std::move(taken.views);
    retained_ = std::move(taken.retained);
    if (!retained_.empty()) saver_.OnObserved(clock_.MonotonicMs());
    complete_.resize(views_.size());
    change_log_.Restore(held.lines, held.decisions);
    tuning_.Restore(held.tuning);
    WarnOfUnverifiedTls();
  }
  ~WatcherThread() override { Stop(); }

  void StartThread() {
    const SignalsBlocked blocked;
    thread_ = std::thread([this]() noexcept { Main(); });
    pthread_setname_np(thread_.native_handle(), "dynamic_weight");
  }

  std::unique_ptr<Update> Take() override { return handoff_.Take(); }
  void Done(std::unique_ptr<Update> update) override {
    handoff_.Done(std::move(update));
  }
  int64_t SeenMs() const override {
    return seen_ms_.load(std::memory_order_relaxed);
  }
  void Stop() override {
    handoff_.Stop();
    std::call_once(joined_, [this] {
      if (thread_.joinable()) thread_.join();
    });
  }

 private:
  using CredentialsLook = BackgroundLook<Credentials>;
  using TuningLook = BackgroundLook<std::string>;

  // One life of everything that talks to clusters. Whatever it throws, the
  // views outlive it.
  struct Run {
    std::unique_ptr<CurlTransport> transport;
    std::mt19937_64 engine;
    // Of the clusters that have credential files.
    std::vector<std::unique_ptr<CredentialsLook>> credentials;
    // By the cluster that it is; of those of whose members something is asked.
    std::map<uint32_t, std::shared_ptr<ControlPlane>> control_planes;
    std::vector<std::unique_ptr<ClusterWatcher>> clusters;
    std::unique_ptr<UpdatePlanner> planner;
    std::unique_ptr<Prober> prober;
    std::unique_ptr<OutlierDetector> outliers;
    int64_t gather_until_ms = 0;
  };

  void Main() noexcept;
  void WatchUntilStop();
  void SetUp(Run* run);
  std::vector<DiscoveryMaker> Sources(uint32_t cluster, Run* run) const;
  ClusterWatcher::NewCredentials Look(const Credentials& credentials, Run* run);
  absl::StatusOr<std::string> TuningText();
  void Turn(Run* run);
  void TakeChanges(Run* run, int64_t now);
  std::unique_ptr<Update> BuildUpdate(Run* run, int64_t now);
  static bool HasWrites(const Run& run) {
    return run.prober->HasWords() || run.outliers->HasWrites();
  }
  std::string StatusOf(const Run& run, uint32_t cluster);
  void Wait(const Run& run);
  void WarnOfUnverifiedTls();
  void NoteException(const char* what) noexcept;

  const WatcherConfig& config_;
  const std::vector<PeerTable> tables_;
  const SystemClock clock_;
  Handoff handoff_;
  std::atomic<int64_t> seen_ms_{clock_.MonotonicMs()};  // the thread writes it

  // The thread's from here on.
  LogQueue log_;
  WeightChangeLog change_log_;
  std::unique_ptr<TuningLook> tuning_look_;  // from the first TuningText() on
  TuningFile tuning_;
  StateSaver saver_;
  std::vector<ClusterView> views_;
  std::vector<bool> complete_;  // whether the view is
  std::vector<ClusterView> retained_;

  std::once_flag joined_;
  std::thread thread_;
};

void WatcherThread::Main() noexcept {
  int64_t retry_ms = kFirstRetryMs;
  while (!handoff_.stopping()) {
    const int64_t began = clock_.MonotonicMs();
    try {
      WatchUntilStop();
    } catch (const std::exception& error) {
      NoteException(error.what());
    } catch (...) {
      NoteException("unknown exception");
    }
    if (clock_.MonotonicMs() - began >= kGoodRunMs) retry_ms = kFirstRetryMs;
    handoff_.WaitForStop(retry_ms);
    retry_ms = std::min(retry_ms * 2, kMaxRetryMs);
  }
  try {
    saver_.Flush(views_, retained_, clock_.MonotonicMs());
  } catch (...) {
    // The file keeps what it had; nobody reads the log any more.
  }
}

void WatcherThread::WatchUntilStop() {
  Run run;
  struct Detach {  // before the transport goes, however this ends
    Handoff* handoff;
    ~Detach() { handoff->SetTransport(nullptr); }
  } detach{&handoff_};
  SetUp(&run);
  while (!handoff_.stopping()) {
    seen_ms_.store(clock_.MonotonicMs(), std::memory_order_relaxed);
    Turn(&run);
    Wait(run);
  }
}

void WatcherThread::SetUp(Run* run) {
  const auto ticks = std::chrono::steady_clock::now().time_since_epoch();
  run->engine.seed(static_cast<uint64_t>(ticks.count()) ^
                   (static_cast<uint64_t>(getpid()) << 40));
  run->transport = CurlTransport::Create();
  if (run->transport == nullptr) throw std::bad_alloc();
  handoff_.SetTransport(run->transport.get());
  for (uint32_t i = 0; i < config_.clusters.size(); ++i) {
    run->clusters.push_back(std::make_unique<ClusterWatcher>(
        config_, i, Sources(i, run), &views_[i], &clock_, &log_,
        Look(config_.clusters[i].credentials, run), [run] {
          return std::uniform_real_distribution<double>(0, 1)(run->engine);
        }));
  }
  run->planner = std::make_unique<UpdatePlanner>(config_, tables_, views_,
                                                 &log_, &change_log_, &tuning_,
                                                 clock_.MonotonicMs());
  run->prober = std::make_unique<Prober>(
      config_, tables_, run->transport.get(), &clock_, &log_, [run] {
        return std::uniform_real_distribution<double>(0, 1)(run->engine);
      });
  run->outliers = std::make_unique<OutlierDetector>(config_, tables_, &log_,
                                                    clock_.MonotonicMs());
  for (const auto& cluster : run->clusters) cluster->Start();
}

// Sources of whatever answers there.
std::vector<DiscoveryMaker> WatcherThread::Sources(uint32_t cluster,
                                                   Run* run) const {
  const auto random = [run] {
    return std::uniform_real_distribution<double>(0, 1)(run->engine);
  };
  HttpTransport* const transport = run->transport.get();
  if (config_.clusters[cluster].type == ClusterConfig::Type::kNacos) {
    return NacosDiscoveries(NacosSourcesOf(config_, cluster), transport,
                            &clock_, random);
  }
  const ReflectorFactory reflectors =
      [transport, random](const ReflectorOptions& options, ObjectSink* sink,
                          DiscoveryDelegate* delegate) {
        return Reflector::Create(options, transport, sink, delegate, random);
      };
  std::vector<DiscoveryMaker> sources =
      KubernetesDiscoveries(SourcesOf(config_, cluster), reflectors);
  // A member's control plane is before it.
  std::vector<DiscoveryMaker> more;
  if (const auto via = config_.clusters[cluster].via) {
    const auto plane = run->control_planes.find(*via);
    if (plane != run->control_planes.end()) {
      more = plane->second->SourcesOf(cluster);
    }
  } else if (auto plane = ControlPlane::Create(
                 KarmadaSourcesOf(config_, cluster), reflectors)) {
    more = plane->Sources();
    run->control_planes[cluster] = std::move(plane);
  }
  std::move(more.begin(), more.end(), std::back_inserter(sources));
  return sources;
}

ClusterWatcher::NewCredentials WatcherThread::Look(
    const Credentials& credentials, Run* run) {
  if (!HaveFiles(credentials)) return nullptr;
  auto files = std::make_shared<CredentialFiles>();
  run->credentials.push_back(std::make_unique<CredentialsLook>(
      [credentials, files] {
        return ReadCredentials(credentials, files.get());
      },
      kCredentialsPauseMs, [this] { handoff_.Wake(); }));
  return
      [look = run->credentials.back().get(),
       hung = false]() mutable -> std::optional<absl::StatusOr<Credentials>> {
        if (look->LookingMs() < kHangMs) {
          if (!std::exchange(hung, false)) return look->TakeNew();
          return look->Latest();
        } else {
          hung = true;
          return absl::DeadlineExceededError(
              "a credential file has not been read for seconds: does its file "
              "system hang?");
        }
      };
}

// What the file said when it was last read, which may be never.
absl::StatusOr<std::string> WatcherThread::TuningText() {
  if (tuning_look_ == nullptr) {
    tuning_look_ = std::make_unique<TuningLook>(
        [path = config_.tuning_file] { return ReadTuningFile(path); },
        kTuningPauseMs, nullptr);
    tuning_look_->WaitForFirst(kFirstLookMs);
  }
  if (tuning_look_->LookingMs() < kHangMs) {
    const auto latest = tuning_look_->Latest();
    if (latest) return *latest;
  }
  return absl::DeadlineExceededError(
      absl::StrCat("\"", config_.tuning_file,
                   "\" has not been read for seconds: does its file system "
                   "hang?"));
}

void WatcherThread::Turn(Run* run) {
  const int64_t now = clock_.MonotonicMs();
  run->prober->Tick(now);
  run->outliers->Tick(now);
  TakeChanges(run, now);
  run->planner->OnTuning(tuning_.Tick(), now);
  handoff_.DropApplied();
  if ((run->planner->DeadlineMs() <= now || HasWrites(*run)) &&
      handoff_.Free()) {
    auto update = BuildUpdate(run, now);
    if (update != nullptr) {
      if (!update->lines.empty()) {
        run->gather_until_ms = now + std::min(kGatherMs, config_.coalesce_ms);
      }
      handoff_.Offer(std::move(update));
    }
  }
  saver_.Tick(views_, retained_, now);
}

void WatcherThread::TakeChanges(Run* run, int64_t now) {
  for (uint32_t i = 0; i < run->clusters.size(); ++i) {
    run->clusters[i]->Tick();
    ClusterChanges changes = run->clusters[i]->TakeChanges();
    const Prober::Change probes = run->prober->TakeChange(i, now);
    changes.status |= probes != Prober::Change::kNone;
    changes.status_at_once |= probes == Prober::Change::kResults;
    run->planner->OnChanges(i, changes, now);
    if (changes.nodes || !changes.sources.empty()) {
      saver_.OnChanged(now);
    } else if (changes.observed) {
      saver_.OnObserved(now);
    }
  }
}

// Only while no update is outstanding. Nothing when there is nothing to do.
std::unique_ptr<Update> WatcherThread::BuildUpdate(Run* run, int64_t now) {
  // Of the peers that are in the tables; then of those that are to come.
  std::vector<TableProbes> words = run->prober->TakeWords(now);
  auto update = run->planner->Build(
      now, [this, run](uint32_t cluster) { return StatusOf(*run, cluster); });
  std::vector<TableEjections> ejections = run->outliers->TakeWrites();
  if (update == nullptr && !(words.empty() && ejections.empty())) {
    update = std::make_unique<Update>();
  }
  if (update == nullptr) return nullptr;
  for (TableUpdate& table : update->tables) {
    run->prober->Prepare(table.table, &table.writes);
  }
  update->probes = std::move(words);
  update->ejections = std::move(ejections);
  return update;
}

std::string WatcherThread::StatusOf(const Run& run, uint32_t cluster) {
  ClusterStatus status = run.clusters[cluster]->Status();
  // Once it is it stays so: nothing is ever taken out of a view.
  complete_[cluster] =
      complete_[cluster] || ViewComplete(config_, cluster, views_[cluster]);
  status.complete = complete_[cluster];
  status.rest_refused =
      (views_[cluster].nodes || !NeedsNodes(config_, cluster)) &&
      run.clusters[cluster]->rest_is_refused();
  if (config_.clusters[cluster].probe) {
    const ProbeCounts counts = run.prober->Counts(cluster);
    status.probe = config_.clusters[cluster].probe->Text();
    status.probes = counts.probes;
    status.probe_failures = counts.failures;
    status.probe_targets = counts.targets;
    status.probe_passing = counts.passing;
    status.probe_failing = counts.failing;
    status.probes_ignored = counts.ignored;
  }
  return PackClusterStatus(status);
}

void WatcherThread::Wait(const Run& run) {
  int64_t deadline = std::min(saver_.DeadlineMs(), tuning_.DeadlineMs());
  for (const auto& cluster : run.clusters) {
    deadline = std::min(deadline, cluster->DeadlineMs());
  }
  const int64_t now = clock_.MonotonicMs();
  deadline = std::min(
      {deadline, run.prober->DeadlineMs(), run.outliers->DeadlineMs()});
  const int64_t planned = HasWrites(run) ? now : run.planner->DeadlineMs();
  // What is due and cannot go out waits for Done().
  if (planned > now || handoff_.Free()) deadline = std::min(deadline, planned);
  // A deadline may be as low as INT64_MIN: compared before it is subtracted.
  const int64_t wait_ms =
      deadline <= now ? 0 : std::min<int64_t>(deadline - now, kWatcherSleepMs);
  if (now < run.gather_until_ms) {
    run.transport->Rest(std::min(wait_ms, run.gather_until_ms - now));
  } else {
    run.transport->Poll(wait_ms);
  }
}

void WatcherThread::WarnOfUnverifiedTls() {
  for (const ClusterConfig& cluster : config_.clusters) {
    // A member's are its control plane's.
    if (cluster.credentials.tls_verify || cluster.via) continue;
    log_.Add(LogLine::Level::kWarn,
             absl::StrCat("cluster \"", cluster.name,
                          "\": tls_verify is off: anybody on the path can read "
                          "the token and change the weights; set ca_file"),
             clock_.MonotonicMs());
  }
}

void WatcherThread::NoteException(const char* what) noexcept {
  try {
    log_.Add(LogLine::Level::kError,
             absl::StrCat("dynamic weight: the watcher failed (", what,
                          "); weights hold, it begins again shortly"),
             clock_.MonotonicMs());
  } catch (...) {
    // No memory even for that: the next run may have some.
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Start(
    const WatcherConfig& config, std::vector<PeerTable> tables,
    const Held& held, int wake_fd) {
  try {
    UseJsonArenas();
    auto watcher = std::make_unique<WatcherThread>(config, std::move(tables),
                                                   held, wake_fd);
    watcher->StartThread();
    return watcher;
  } catch (const std::system_error& error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "dynamic weight: no thread for the watcher: ", error.what(),
        "; raise the limit on processes (ulimit -u, pids.max)"));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        "dynamic weight: no memory for the watcher");
  }
}

}  // namespace dynweight
