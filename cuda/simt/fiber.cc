/* fiber.cc - see fiber.h. The switch saves what the ABI asks a callee to save; elsewhere than on
 * x86-64 ucontext does it, with a system call each time. AddressSanitizer is told of each switch,
 * or it would take a fiber's stack for a wild pointer. */
#include "cuda/simt/fiber.h"

#include "cuda/simt/asan.h"

#include "base/status.h"

#include <cstdint>
#include <cstdlib>
#include <sys/mman.h>

#if defined(__x86_64__) && !defined(SIMT_UCONTEXT) /* which a test sets, to try the other way */
#define SIMT_SWITCH 1
#else
#include <ucontext.h>
#endif

#ifdef SIMT_ASAN
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 256 * 1024 }; /* red zones make frames large */
#else
enum { STACK_BYTES = 128 * 1024 };
#endif

namespace simt
{

struct fiber {
    void (*entry)(void *);
    void *ctx;
    char *stack;
#ifdef SIMT_SWITCH
    void *sp;
#else
    ucontext_t at;
#endif
    void *fake_stack; /* AddressSanitizer's */
};

static thread_local fiber *running;
#ifdef SIMT_SWITCH
static thread_local void *scheduler_sp;
#else
static thread_local ucontext_t scheduler_at;
#endif
#ifdef SIMT_ASAN
static thread_local void       *scheduler_fake;
static thread_local const void *scheduler_bottom;
static thread_local size_t      scheduler_size;
#endif

static void arrive()
{
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(running->fake_stack, &scheduler_bottom, &scheduler_size);
#endif
}

static void start()
{
    arrive();
    running->entry(running->ctx);
    abort(); /* entry yields for ever when it is done */
}

#ifdef SIMT_SWITCH
extern "C" void asd_simt_switch(void **save_sp, void *load_sp);
asm(R"(
    .text
    .globl asd_simt_switch
    .type asd_simt_switch, @function
asd_simt_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size asd_simt_switch, .-asd_simt_switch
)");
#endif

void fiber_restart(fiber *f)
{
#ifdef SIMT_SWITCH
    /* as if `start` were about to be called: six saved registers, its address, and a return
     * address that is never used but puts its frame where the ABI wants it */
    uintptr_t *top = (uintptr_t *)(f->stack + STACK_BYTES);
    *--top         = 0;
    *--top         = (uintptr_t)start;
    for (int i = 0; i < 6; ++i)
        *--top = 0;
    f->sp = top;
#else
    getcontext(&f->at);
    f->at.uc_stack.ss_sp   = f->stack;
    f->at.uc_stack.ss_size = STACK_BYTES;
    f->at.uc_link          = nullptr;
    makecontext(&f->at, start, 0);
#endif
    f->fake_stack = nullptr;
}

fiber *fiber_new(void (*entry)(void *), void *ctx)
{
    fiber *f = (fiber *)calloc(1, sizeof *f);
    ASD_ASSERT(f);
    f->entry = entry;
    f->ctx   = ctx;
    f->stack = (char *)mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASD_ASSERT(f->stack != MAP_FAILED);
    fiber_restart(f);
    return f;
}

void fiber_free(fiber *f)
{
    if (!f)
        return;
    munmap(f->stack, STACK_BYTES);
    free(f);
}

void fiber_resume(fiber *f)
{
    running = f;
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&scheduler_fake, f->stack, STACK_BYTES);
#endif
#ifdef SIMT_SWITCH
    asd_simt_switch(&scheduler_sp, f->sp);
#else
    swapcontext(&scheduler_at, &f->at);
#endif
#ifdef SIMT_ASAN
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
    running = nullptr;
}

void fiber_yield()
{
    fiber *f = running;
#ifdef SIMT_ASAN
    __sanitizer_start_switch_fiber(&f->fake_stack, scheduler_bottom, scheduler_size);
#endif
#ifdef SIMT_SWITCH
    asd_simt_switch(&f->sp, scheduler_sp);
#else
    swapcontext(&f->at, &scheduler_at);
#endif
    arrive();
}

} // namespace simt
