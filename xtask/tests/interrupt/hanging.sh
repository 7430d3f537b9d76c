#!/bin/sh
# Stands for the programs of a run, by the name that it is called with, and hangs at the place HANG_AT.
set -eu

hang_at() {
    if [ "$HANG_AT" = "$1" ]; then
        touch "$HANG_MARK"
        # A child as well, as suites have them.
        sleep 600 &
        exec sleep 600
    fi
}

# The real program of this name: the next one in PATH.
real() {
    PATH=${PATH#*:}
    exec "$@"
}

program=${0##*/}
case "$program" in
    cargo) ;;
    mkfs.ext4)
        hang_at mkfs
        real "$program" "$@"
        ;;
    # Links to the command under test are followed.
    hanging.sh)
        case "$1" in
            mount)
                hang_at mount
                exec mount --bind "$2" "$3"
                ;;
            umount) exec umount "$3" ;;
            stats) echo '{"ops":[]}' ;;
            status) echo '[]' ;;
        esac
        ;;
    dynamicfs-suite)
        case "$*" in
            --list) echo "a::case" ;;
            *"/ext4/"*) hang_at ext4 ;;
            *) hang_at preset ;;
        esac
        echo '{"name":"a::case","outcome":"passed"}'
        ;;
esac
