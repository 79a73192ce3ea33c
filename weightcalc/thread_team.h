// For tests: threads that run at the same time, not one after the other.

#ifndef DYNAMIC_WEIGHT_WEIGHTCALC_THREAD_TEAM_H_
#define DYNAMIC_WEIGHT_WEIGHTCALC_THREAD_TEAM_H_

#include <atomic>
#include <thread>
#include <vector>

namespace dynweight {

// Calls run(0) .. run(n - 1), each on a thread of its own, none before all
// threads have started. Returns when all have ended.
template <typename Run>
void RunTogether(int n, Run&& run) {
  std::atomic<int> started{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < n; i++) {
    threads.emplace_back([&, i] {
      started++;
      while (started < n) std::this_thread::yield();
      run(i);
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace dynweight

#endif  // DYNAMIC_WEIGHT_WEIGHTCALC_THREAD_TEAM_H_
