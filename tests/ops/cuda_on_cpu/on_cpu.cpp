// The stand-in's scheduler: fibres, barriers, and what a launch checks.
#include "on_cpu.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/runtime.cuh"

#ifndef __x86_64__
#include <ucontext.h>
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace apnt::on_cpu {
namespace {

constexpr int kMostThreads = 1024;
constexpr size_t kSharedLimit = cuda::kSharedLimit;
#ifdef __SANITIZE_ADDRESS__
constexpr size_t kStack = 256 << 10;
#else
constexpr size_t kStack = 128 << 10;
#endif

// ---- switching between stacks

#ifdef __x86_64__

// Saves the callee-saved registers and continues where `to` was left. swapcontext does the same with a system
// call for the signal mask each time.
__attribute__((naked, noinline)) void switch_stack(void** /*from: rdi*/, void* /*to: rsi*/) {
  asm volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}

struct Context {
  void* at = nullptr;

  void start(char* stack, size_t size, void (*entry)()) {
    // The stack as switch_stack leaves it: six registers, the address it returns to, and an alignment of 16
    // bytes before that address, as after a call.
    void** top = reinterpret_cast<void**>(stack + size) - 1;
    *top-- = nullptr;  // entry never returns
    *top = reinterpret_cast<void*>(entry);
    top -= 6;
    std::fill(top, top + 6, nullptr);
    at = top;
  }
  void switch_to(Context& to) { switch_stack(&at, to.at); }
};

#else

struct Context {
  ucontext_t at;

  void start(char* stack, size_t size, void (*entry)()) {
    getcontext(&at);
    at.uc_stack.ss_sp = stack;
    at.uc_stack.ss_size = size;
    at.uc_link = nullptr;
    makecontext(&at, entry, 0);
  }
  void switch_to(Context& to) { swapcontext(&at, &to.at); }
};

#endif

// Stacks, each above a guard page.
class Stacks {
 public:
  char* take() {
    if (free_.empty()) {
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      void* memory = mmap(nullptr, kStack + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) throw std::runtime_error("no memory for the stack of a thread");
      mprotect(memory, page, PROT_NONE);
      free_.push_back(static_cast<char*>(memory) + page);
    }
    char* stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void give_back(char* stack) {
#ifdef __SANITIZE_ADDRESS__
    __asan_unpoison_memory_region(stack, kStack);  // of frames that were left in the middle
#endif
    free_.push_back(stack);
  }

 private:
  std::vector<char*> free_;  // never returned to the system: the next launch takes them
};

// ---- threads, warps, blocks

struct Copy {
  void* to;
  uint32_t value;
};

struct Thread {
  enum State { fresh, ready, waiting, gone } state = fresh;
  Context context;
  char* stack = nullptr;
  uint3 index{};
  void* fake_stack = nullptr;  // AddressSanitizer's
  std::vector<Copy> copies;
  std::vector<size_t> groups;  // the number of copies of each unfinished group
  size_t committed = 0;        // copies that belong to a group
};

struct Warp {
  unsigned alive = 0, arrived = 0, mask = 0;
  Collective collective = nullptr;
  void* operands[32];
};

struct Machine {
  std::mutex one_at_a_time;
  uint64_t seed = 0;
  std::mt19937_64 random;
  Counters counters{};
  Stacks stacks;

  std::vector<Thread> threads;
  std::vector<Warp> warps;
  int count = 0, alive = 0, arrived = 0, votes = 0, result = 0;
  Thread* running = nullptr;
  int running_index = 0;
  Context scheduler;
  void* scheduler_fake_stack = nullptr;
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_size = 0;

  Entry entry = nullptr;
  void* entry_context = nullptr;
  const char* where = "";
  std::string error;

  void* shared = nullptr;
  uint64_t block_number = 0;
};

Machine machine;

void stop(const std::string& message) {
  if (machine.error.empty()) {
    machine.error = std::string(machine.where) + ": block (" + std::to_string(blockIdx.x) + ", " +
                    std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + "): " + message;
  }
}

// Switches from a fibre to the scheduler. last: the fibre has ended.
void to_scheduler(bool last) {
  Thread& thread = *machine.running;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(last ? nullptr : &thread.fake_stack, machine.scheduler_stack,
                                 machine.scheduler_stack_size);
#else
  (void)last;
#endif
  thread.context.switch_to(machine.scheduler);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(thread.fake_stack, &machine.scheduler_stack, &machine.scheduler_stack_size);
#endif
}

void fibre() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &machine.scheduler_stack, &machine.scheduler_stack_size);
#endif
  machine.entry(machine.entry_context);
  machine.running->state = Thread::gone;
  to_scheduler(true);
  __builtin_unreachable();
}

void to_fibre(int index) {
  Thread& thread = machine.threads[index];
  if (thread.state == Thread::fresh) {
    thread.stack = machine.stacks.take();
    thread.context.start(thread.stack, kStack, fibre);
    thread.state = Thread::ready;
  }
  machine.running = &thread;
  machine.running_index = index;
  threadIdx = thread.index;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&machine.scheduler_fake_stack, thread.stack, kStack);
#endif
  machine.scheduler.switch_to(thread.context);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(machine.scheduler_fake_stack, nullptr, nullptr);
#endif
}

// Blocks the running thread.
void wait() {
  machine.running->state = Thread::waiting;
  to_scheduler(false);
}

[[noreturn]] void give_up() {
  machine.running->state = Thread::gone;
  to_scheduler(true);
  __builtin_unreachable();
}

void wake(int first, unsigned lanes) {
  for (; lanes; lanes &= lanes - 1) machine.threads[first + __builtin_ctz(lanes)].state = Thread::ready;
}

// Completes a warp's collective if no thread is missing.
void try_collective(int warp_index) {
  Warp& warp = machine.warps[warp_index];
  if (!warp.arrived || (warp.mask & warp.alive & ~warp.arrived)) return;
  const unsigned arrived = warp.arrived;
  warp.arrived = 0;
  ++machine.counters.collectives;
  warp.collective(warp.operands);
  std::fill(std::begin(warp.operands), std::end(warp.operands), nullptr);
  wake(32 * warp_index, arrived);
}

void try_barrier() {
  if (!machine.arrived || machine.arrived < machine.alive) return;
  machine.arrived = 0;
  machine.result = machine.votes;
  machine.votes = 0;
  ++machine.counters.barriers;
  for (Thread& thread : machine.threads) {
    if (thread.state == Thread::waiting) thread.state = Thread::ready;
  }
}

void leave(int index) {
  Thread& thread = machine.threads[index];
  machine.stacks.give_back(thread.stack);
  thread.stack = nullptr;
  --machine.alive;
  machine.warps[index / 32].alive &= ~(1u << index % 32);
  if (!machine.error.empty()) return;
  try_collective(index / 32);
  try_barrier();
}

void choose_order(std::vector<int>& order) {
  if (machine.seed == 1) std::reverse(order.begin(), order.end());
  if (machine.seed > 1) std::shuffle(order.begin(), order.end(), machine.random);
}

std::vector<int> numbers(int count) {
  std::vector<int> out(count);
  for (int i = 0; i < count; ++i) out[i] = i;
  choose_order(out);
  return out;
}

void run_block(dim3 block) {
  machine.alive = machine.count;
  machine.arrived = machine.votes = 0;
  for (int i = 0; i < machine.count; ++i) {
    Thread& thread = machine.threads[i];
    thread.state = Thread::fresh;
    thread.index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    thread.copies.clear();
    thread.groups.clear();
    thread.committed = 0;
  }
  const int warps = static_cast<int>(machine.warps.size());
  for (int w = 0; w < warps; ++w) {
    machine.warps[w] = {};
    const int lanes = std::min(32, machine.count - 32 * w);
    machine.warps[w].alive = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
  }

  std::vector<int> warp_order = numbers(warps), lane_order = numbers(32);
  while (machine.alive > 0) {
    bool progress = false;
    for (const int w : warp_order) {
      // Runs this warp as far as it can alone.
      for (bool more = true; more;) {
        more = false;
        for (const int lane : lane_order) {
          const int index = 32 * w + lane;
          if (index >= machine.count) continue;
          const Thread::State state = machine.threads[index].state;
          if (state != Thread::fresh && state != Thread::ready) continue;
          more = progress = true;
          to_fibre(index);
          if (machine.threads[index].state == Thread::gone) leave(index);
          if (!machine.error.empty()) return;
        }
        if (machine.seed > 1) choose_order(lane_order);
      }
    }
    if (!progress) {
      return stop("threads wait for others that never come: " + std::to_string(machine.arrived) + " of " +
                  std::to_string(machine.alive) + " are at a barrier");
    }
    if (machine.seed > 1) choose_order(warp_order);
  }
}

void check_launch(dim3 grid, dim3 block, size_t shared) {
  const auto refuse = [](const std::string& why) {
    throw std::runtime_error(std::string(machine.where) + ": CUDA: invalid launch: " + why);
  };
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMostThreads || block.x > 1024 || block.y > 1024 || block.z > 64) {
    refuse("a block has 1 to 1024 threads, and 64 in z");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) refuse("the grid is empty");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    refuse("at most 2**31 - 1, 65535, 65535 blocks");
  if (shared > kSharedLimit) {
    refuse(std::to_string(shared) + " bytes of shared memory, a block has " + std::to_string(kSharedLimit));
  }
}

}  // namespace

void set_schedule(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(machine.one_at_a_time);
  machine.seed = seed;
  machine.random.seed(seed);
}

Counters counters() {
  const std::lock_guard<std::mutex> lock(machine.one_at_a_time);
  const Counters out = machine.counters;
  machine.counters = {};
  return out;
}

void* dynamic_shared() { return machine.shared; }

uint64_t block_number() { return machine.block_number; }

void fail(const char* message) {
  stop(message);
  give_up();
}

void warp_collective(unsigned mask, void* operands, Collective collective) {
  const int w = machine.running_index / 32, lane = machine.running_index % 32;
  Warp& warp = machine.warps[w];
  if (!(mask >> lane & 1)) fail("a thread is not in the mask of the warp function that it calls");
  if (warp.arrived && (warp.collective != collective || warp.mask != mask)) {
    fail("threads of a warp call different functions or pass different masks");
  }
  warp.mask = mask;
  warp.collective = collective;
  warp.operands[lane] = operands;
  warp.arrived |= 1u << lane;
  machine.running->state = Thread::waiting;
  try_collective(w);
  if (machine.running->state == Thread::waiting) wait();
}

int block_barrier(bool value) {
  ++machine.arrived;
  machine.votes += value;
  machine.running->state = Thread::waiting;
  try_barrier();
  if (machine.running->state == Thread::waiting) wait();
  return machine.result;
}

void copy_later(void* to, const void* from, int bytes, bool valid) {
  if (reinterpret_cast<uintptr_t>(to) % bytes || (valid && reinterpret_cast<uintptr_t>(from) % bytes)) {
    fail("an address of cp.async is not aligned to its size");
  }
  // Word by word.
  for (int i = 0; i < bytes; i += 4) {
    Copy copy{static_cast<char*>(to) + i, 0};
    if (valid) std::memcpy(&copy.value, static_cast<const char*>(from) + i, sizeof copy.value);
    machine.running->copies.push_back(copy);
  }
}

void commit_copies() {
  Thread& thread = *machine.running;
  thread.groups.push_back(thread.copies.size() - thread.committed);
  thread.committed = thread.copies.size();
}

void wait_copies(int groups_left) {
  Thread& thread = *machine.running;
  size_t done = 0, groups = 0;
  for (; thread.groups.size() - groups > static_cast<size_t>(groups_left); ++groups)
    done += thread.groups[groups];
  for (size_t i = 0; i < done; ++i)
    std::memcpy(thread.copies[i].to, &thread.copies[i].value, sizeof thread.copies[i].value);
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<int64_t>(done));
  thread.groups.erase(thread.groups.begin(), thread.groups.begin() + static_cast<int64_t>(groups));
  thread.committed -= done;
}

void run(const char* where, dim3 grid, dim3 block, size_t shared, Entry entry, void* context) {
  const std::lock_guard<std::mutex> lock(machine.one_at_a_time);
  machine.where = where;
  machine.error.clear();
  check_launch(grid, block, shared);
  machine.entry = entry;
  machine.entry_context = context;
  machine.count = static_cast<int>(block.x * block.y * block.z);
  machine.threads.resize(machine.count);
  machine.warps.resize((machine.count + 31) / 32);
  gridDim = grid;
  blockDim = block;
  ++machine.counters.launches;
  machine.counters.largest_shared = std::max<int64_t>(machine.counters.largest_shared, shared);

  // Of exactly the requested size, so that AddressSanitizer reports the next byte.
  void* memory = nullptr;
  if (shared && posix_memalign(&memory, 128, shared)) throw std::runtime_error("no memory for a block");
  const std::unique_ptr<void, void (*)(void*)> owner(memory, std::free);
  machine.shared = memory;

  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  if (blocks > 0x7fffffffu) throw std::runtime_error("too many blocks for the stand-in");
  const std::vector<int> order = numbers(static_cast<int>(blocks));
  for (const int b : order) {
    blockIdx = {b % grid.x, b / grid.x % grid.y, b / (grid.x * grid.y)};
    ++machine.block_number;
    ++machine.counters.blocks;
    if (shared) std::memset(memory, 0xff, shared);
    run_block(block);
    if (!machine.error.empty()) {
      for (Thread& thread : machine.threads) {
        if (thread.stack) machine.stacks.give_back(thread.stack);
        thread.stack = nullptr;
      }
      throw std::runtime_error(machine.error);
    }
  }
  machine.shared = nullptr;
}

}  // namespace apnt::on_cpu
