#!/usr/bin/perl

# The watcher's thread alone stands still, as behind a lock or a fault of the
# kernel, and then worker 0 as a whole: what it said last was that all is well,
# so others must find out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use POSIX ();
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes('127.0.0.11');
$t->start_backends;
$t->conf(http => <<'EOF' . $t->edge_server('orders'));
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
    }
EOF
$t->allow(qr/the watcher's thread has not been at work for/);
ok($t->start, 'nginx starts');
ok($t->wait_weights('orders', { '127.0.0.1' => 10, '127.0.0.11' => 60 }),
    'weights');

# Halts one thread of another process as a debugger does.
my %ptrace = (x86_64 => 101, aarch64 => 117);
my $ptrace = $ptrace{(POSIX::uname())[4]} or die "which machine is this?\n";
use constant { SEIZE => 0x4206, INTERRUPT => 0x4207, DETACH => 17,
    WALL => 0x40000000 };
sub halt {
    my ($thread) = @_;
    for my $request (SEIZE, INTERRUPT) {
        syscall($ptrace, $request, $thread, 0, 0) == 0
            or die "ptrace $thread: $!\n";
    }
    return waitpid $thread, WALL;
}
sub let_go { return syscall($ptrace, DETACH, $_[0], 0, 0) == 0 }

sub cluster { return $t->status->{clusters}{bj} }
sub metric {
    my ($name) = @_;
    return http_get($t->port, '/dw/metrics')->{body}
        =~ /^nginx_dynamic_weight_$name\S* (\S+)$/m ? $1 : undef;
}
sub thread {
    for my $task (glob '/proc/' . $t->worker0 . '/task/*') {
        open my $f, '<', "$task/comm" or next;
        return 0 + $task =~ s{.*/}{}r if <$f> eq "dynamic_weight\n";
    }
    die "no thread of the watcher\n";
}

is(cluster()->{watch}{last_error}, '', 'all is well');
cmp_ok(metric('watcher_age_seconds'), '<', 20, 'the thread is seen');

# ---- The thread.

my $thread = thread();
halt($thread);
$bj->app('prod', 'orders', 30);
wait_ok { !cluster()->{up} } 'a thread that hangs is not up', 60;
my $error = qr/the watcher has not been seen at work for \d+ s/;
like(cluster()->{watch}{last_error}, $error, 'the status says why');
is(metric('cluster_up'), 0, 'so do the metrics');
cmp_ok(metric('watcher_age_seconds'), '>', 20, 'with its age');
my $page = http_get($t->port, '/dw/')->{body};
like($page, qr/1 cluster stale: bj/, 'and the page');
like($page, $error, 'with the reason');
wait_ok { $t->log =~ /\[alert\] .*the watcher's thread has not been at work/ }
    'and the log', 60;
is_deeply($t->weights('orders'), { '127.0.0.1' => 10, '127.0.0.11' => 60 },
    'weights hold');
is(http_get($t->port, '/dw/ready')->{status}, 200, 'which is no end of service');
ok(let_go($thread), 'it goes on');
ok($t->wait_weights('orders', { '127.0.0.1' => 10, '127.0.0.11' => 300 }),
    'it has what came meanwhile');
wait_ok { cluster()->{up} } 'and is up';
wait_ok { $t->log =~ /\[notice\] .*the watcher's thread is at work again/ }
    'says the log';

# ---- Worker 0: the others answer.

my $worker = $t->worker0;
kill 'STOP', $worker;
wait_ok { my $c = cluster(); $c && !$c->{up} } 'worker 0 hangs: not up', 60;
like(cluster()->{watch}{last_error}, $error, 'says another worker');
kill 'CONT', $worker;
wait_ok { cluster()->{up} } 'it is back';
is((grep { /at work for/ } split /\n/, $t->log), 1, 'the log has told once');

$t->done;
