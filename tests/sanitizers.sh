# Sourced by tests/run.sh after $root and $preset are set: how programs of the presets asan and tsan run, and where they report to.
# A report is a file beside the log of the suite; the system tests send those of their daemons to the directory of the test
# (tests/system/fleet.py).

suite_limit_s=600
sanitizer_wrapper=()
sanitizer_options=()  # names of the variables that are set
case $preset in
  asan)
    # What the programs link to is not instrumented, which these checks do not need. The quarantine is small, for tests measure memory.
    # Thread-local storage is not followed by way of __tls_get_addr: where a module's begins 16 bytes into a page, libasan takes it for
    # that of glibc 2.19, reads its extent out of whatever lies before it and dies of that as it looks for leaks.
    export ASAN_OPTIONS=intercept_tls_get_addr=0:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:check_initialization_order=1:quarantine_size_mb=16:allocator_may_return_null=1
    export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0
    export UBSAN_OPTIONS=print_stacktrace=1
    sanitizer_options=(ASAN_OPTIONS UBSAN_OPTIONS)
    ;;
  tsan)
    export TSAN_OPTIONS=suppressions=$root/tests/tsan.supp:second_deadlock_stack=1
    sanitizer_options=(TSAN_OPTIONS)
    # ThreadSanitizer of GCC 12 knows the addresses that 28 random bits give, and kernels may use more.
    if setarch -R true 2>/dev/null; then sanitizer_wrapper=(setarch -R); fi
    ;;
esac
if [ ${#sanitizer_options[@]} -gt 0 ]; then
  export GORGONE_TEST_SLOWNESS=${GORGONE_TEST_SLOWNESS:-5}  # tests/system/pace.py
  suite_limit_s=1800
fi

sanitizer_reports_to() {  # PATH: files PATH.PID
  local name
  for name in "${sanitizer_options[@]}"; do export "$name=${!name}:log_path=$1"; done
}
