// The state of a reflector, which reflector_impl.cc (time, lists) and
// reflector_watch.cc (watches, health) share. For these two alone.

#ifndef DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_IMPL_H_
#define DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_IMPL_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "watcher/kubernetes/events_since_list.h"
#include "watcher/kubernetes/list_fetch.h"
#include "watcher/kubernetes/list_watch_request.h"
#include "watcher/kubernetes/reflector.h"
#include "watcher/kubernetes/watch_stream.h"
#include "watcher/transport/backoff.h"
#include "weightcalc/clock.h"

namespace dynweight::reflector_internal {

inline constexpr int64_t kWatchBackoffCapMs = 30000;
inline constexpr int64_t kPollBackoffCapMs = 5000;  // or the interval if longer
// Up to twice as long by chance: as often is asked who does not answer while
// nothing is known.
inline constexpr int64_t kAwaitedCapMs = 1000;
inline constexpr int64_t kMaxRetryAfterMs = 300000;
// So many 429 in a row are answered as they want it, by chance so much later.
inline constexpr int kBusyAnswers = 10;
inline constexpr int64_t kBusyJitterMs = 5000;
// An API server may send a bookmark every minute, but need not: a watch that
// is silent for so long is renewed, lest something between has dropped it.
inline constexpr int64_t kSilenceMs = 150000;
// A watch that ends sooner was no watch.
inline constexpr int64_t kShortWatchMs = 1000;
// So many watches in a row that gave nothing, and a list tells what is wrong.
inline constexpr int kUselessWatches = 3;
// So many lists in a row that a version can't be told to be innocent of.
inline constexpr int kVersionedFailures = 3;
// A quiet watch counts as healthy when it lasted this long.
inline constexpr int64_t kProvenMs = 5000;
// A list after a server failed: late enough for a fleet to be back, by chance
// up to half as long again.
inline constexpr int64_t kDoubtMs = 65000;
// Each of these up to twice as long by chance.
inline constexpr int64_t kQuietMs = 900000;
inline constexpr int64_t kPeriodicMs = 3600000;
inline constexpr int kMinWatchSeconds = 300;
inline constexpr int kMaxWatchSeconds = 600;
// How often a watch is tried again where watches are buffered.
inline constexpr int64_t kFirstBufferedMs = 30000;
inline constexpr int64_t kMaxBufferedMs = 600000;
// As DropGuard::kSettleMs: longer than what a list was behind takes to come.
inline constexpr int64_t kSettleMs = 1500;

class ReflectorImpl final : public Reflector {
 public:
  ReflectorImpl(ReflectorOptions options, HttpTransport* transport,
                ObjectSink* sink, DiscoveryDelegate* delegate,
                std::function<double()> random);

  void Start(int64_t now_ms) override;
  int64_t Deadline() const override;
  void Tick(int64_t now_ms) override;
  void RequestFreshList(int64_t now_ms) override;
  void Retry(int64_t now_ms) override;
  void WithdrawList() override;
  const DiscoveryStats& stats() const override { return stats_; }

 private:
  int64_t NextListMs() const;
  std::optional<std::string> ListVersion() const;
  void BeginList();
  void OnList(const ListFetchResult& result);
  void CommitList(const ListFetchResult& list);
  bool WentBack(const ListFetchResult& list) const;
  bool BringUpToDate(const ListFetchResult& list);
  void GoOnAfterList();
  void TellList();
  void FailList(const ListFetchResult& list);
  void SuspectVersion(const ListFetchResult& list);
  bool TryFallback();

  void BeginWatch();
  void OnWatchOpen();
  void OnWatchEvent(bool bookmark, std::string_view line);
  // When the watch has been silent for too long.
  int64_t WatchUnheardMs() const;
  int64_t WatchProvenMs() const;
  void EndUnheardWatch();
  void SetBuffered();
  void OnWatchEnd(const WatchEnd& end);
  void OnShortWatch(const absl::Status& why);
  void OnWatchUnanswered(const absl::Status& error, int64_t retry_after_ms);
  void OnWatchRefused(const ApiRefusal& refusal, const absl::Status& error,
                      bool server_failed);
  void FailWatch(const absl::Status& error, int64_t wait_ms);
  void WatchIn(int64_t wait_ms);

  // The back-off after a failure of `base`, or what it asks for if longer and
  // it is the one to be asked again.
  int64_t FailureWaitMs(const std::string& base, int64_t retry_after_ms);
  int64_t BusyWaitMs(const std::string& base, int64_t retry_after_ms);
  int64_t UpToTwice(int64_t ms) const;
  const Collection* collection() const { return &collections_[at_]; }
  void RelistIn(int64_t wait_ms);
  void ReportFailure(const absl::Status& error);
  absl::Status WatchError(const absl::Status& error) const;
  void MaybeHealthy();

  const ReflectorOptions options_;
  std::vector<Collection> collections_;  // the path and its fallbacks
  ObjectSink* const sink_;
  DiscoveryDelegate* const delegate_;
  const std::function<double()> random_;
  DiscoveryStats stats_;
  Backoff backoff_;
  int64_t now_ms_ = 0;

  size_t at_ = 0;              // index into collections_
  uint64_t absent_ = 0;        // bits of those that were not there, this time
  absl::Status absent_error_;  // what the first of them said
  std::string version_;        // what was seen last
  bool version_refused_ = false;  // the server no longer or not yet has it
  bool version_suspect_ = false;  // the next list does without it
  int versioned_failures_ = 0;    // in a row, of lists with a version
  int64_t heard_ms_ = 0;          // the last event, bookmark or list

  bool list_wanted_ = false;           // RequestFreshList()
  bool list_answers_request_ = false;  // the list under way began after it
  int64_t list_began_ms_ = 0;
  int64_t list_ended_ms_ = 0;          // committed
  int64_t list_of_ms_ = -1;            // when the one that is committed began
  std::string list_floor_;             // what was seen when it began
  int64_t wanted_at_ = kNever;         // when one that is wanted begins
  int64_t wanted_began_ms_ = -kNever;  // when the last of these began
  int64_t list_at_ = kNever;           // when another begins
  int64_t doubt_at_ = kNever;          // after a server failed
  int64_t quiet_ms_ = kQuietMs;        // after heard_ms_
  int64_t periodic_at_ = kNever;
  bool list_failing_ = false;
  bool unanswered_ = false;  // what fails does for want of a server's answer
  int busy_answers_ = 0;     // in a row
  EventsSinceList since_list_;
  int64_t settled_at_ = kNever;      // when the committed list may be told
  std::optional<int64_t> asked_ms_;  // of the list that is to be told

  int64_t watch_at_ = kNever;        // when the next watch begins
  int64_t watch_not_before_ms_ = 0;  // as a 429 asked
  int64_t watch_began_ms_ = 0;
  int64_t watch_heard_ms_ = 0;  // the last event or bookmark
  uint64_t watch_heard_ = 0;    // events and bookmarks of this watch
  bool watch_proven_ = false;   // it has lasted
  bool watch_failing_ = false;
  int useless_watches_ = 0;     // in a row: short, or without an answer
  unsigned silences_ = 0;       // watches in a row that were renewed
  bool server_failed_ = false;  // and no watch was answered since
  bool buffered_ = false;
  int64_t buffered_wait_ms_ = kFirstBufferedMs;

  ListFetch list_;
  WatchStream watch_;
};

}  // namespace dynweight::reflector_internal

#endif  // DYNAMIC_WEIGHT_WATCHER_KUBERNETES_REFLECTOR_IMPL_H_
