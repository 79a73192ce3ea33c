#!/usr/bin/perl

# What outlives a reload and a change of processes beside the weights: passive
# health, readiness, the count of connections; and weights too large for a table.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

my $t = DynamicWeight->new(workers => 2);
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
$bj->app('prod', 'orders', 9000, deployment => JSON::PP::true);
$sh->app('prod', 'orders', 3000, deployment => JSON::PP::true);
$bj->app('prod', 'users', 4);
$bj->nodes('127.0.0.11');
$sh->nodes('127.0.0.21');
$t->start_backends;

my $zone = "dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;\n";
my $clusters = join '', map { "dynamic_weight_cluster \L$_\E { api %%$_%%; "
    . "ingress_nodes nodes=role=ingress; }\n" } 'BJ', 'SH';

sub get_ready {
    my ($query) = @_;
    my $answer = http_get($t->port, '/dw/ready' . ($query // ''));
    return ($answer->{status}, decode_json($answer->{body}));
}

sub states {
    return { map { $_->{server} =~ s/:.*//r => $_->{state} }
        @{$t->status->{upstreams}{orders}{peers}} };
}

# ---- Ready: never before all is known, and then for ever.

my $lines = 'ingress_nodes bj deployment=prod/orders port=%%BACKEND%%;';
my $users = 'upstream users { dynamic_weight; server 127.0.0.1:%%BACKEND%%; '
    . 'ingress_nodes bj service=prod/users port=%%BACKEND%%; }';
my $new = 'upstream new { dynamic_weight; server 127.0.0.1:%%BACKEND%%; '
    . 'ingress_nodes bj rollout=prod/none port=%%BACKEND%%; }';
my $orders = "upstream orders { dynamic_weight; server 127.0.0.1:%%BACKEND%%; "
    . "$lines }\n";

$bj->fault('status', code => 403, path_prefix => '/apis/argoproj.io');
$bj->fault('hang', path_prefix => '/apis/apps');
$t->conf(http => $zone . $clusters . $orders . $users
    . $t->edge_server('orders'));
ok($t->start, 'nginx starts');
wait_ok { (get_ready('?upstream=users'))[0] == 200 } 'one upstream is ready';
my ($status, $said) = get_ready();
is($status, 503, 'not all are: one source has not answered');
is_deeply($said, { ready => JSON::PP::false, waiting_for => ['bj'],
    lines => [{ upstream => 'orders', cluster => 'bj',
        source => 'deployment=prod/orders', provisional => JSON::PP::false }] },
    'it is named');
is((get_ready('?upstream=orders'))[0], 503, 'its upstream is not ready');
is((get_ready('?upstream=nosuch'))[0], 404, 'there is no such upstream');
$bj->heal;
$bj->fault('status', code => 403, path_prefix => '/apis/argoproj.io');
wait_ok { (get_ready())[0] == 200 } 'all are ready';
is_deeply((get_ready())[1], { ready => JSON::PP::true }, 'nothing is waited for');

$t->conf(http => $zone . $clusters . $orders . $users . $new
    . $t->edge_server('orders'));
ok($t->reload, 'reload with a source that is no good');
($status, $said) = get_ready();
is($status, 200, 'ready stays ready');
is($said->{lines}[0]{upstream}, 'new', 'and says what it waits for');
is((get_ready('?upstream=orders'))[0], 200, 'so is an upstream that was');
is((get_ready('?upstream=new'))[0], 503, 'the new one is not');

# ---- Health: what is out stays out, whatever slot it gets.

my $failing = 'max_fails=1 fail_timeout=600s';
sub with_health {
    my ($more, $slots) = @_;
    return $zone . $clusters . "upstream orders { dynamic_weight; $more "
        . "server 127.0.0.2:%%BACKEND%% weight=1000 $failing; "
        . 'server 127.0.0.3:%%BACKEND%% weight=1000; '
        . "ingress_nodes bj deployment=prod/orders port=%%BACKEND%% "
        . "slots=$slots $failing; }\n" . $t->edge_server('orders');
}

$t->conf(http => with_health('', 4));
ok($t->reload, 'reload');
$t->break_backend($_, 'close') for '127.0.0.2', '127.0.0.11';
wait_ok { http_get($t->port, '/');
    my $is = states();
    $is->{'127.0.0.2'} eq 'unavail' && $is->{'127.0.0.11'} eq 'unavail' }
    'a server and a node are taken out';
my ($down) = grep { $_->{server} =~ /^127.0.0.2:/ }
    @{$t->status->{upstreams}{orders}{peers}};

for my $part (['', 4, 'the same'],
    ['server 127.0.0.4:%%BACKEND%% weight=1000;', 9, 'other slots']) {
    $t->conf(http => with_health(@$part[0, 1]));
    ok($t->reload, "reload: $part->[2]");
    my $mark = $t->mark;
    for (1 .. 100) {
        http_get($t->port, '/')->{status} == 200 or fail('a request');
    }
    my %seen = %{$t->backend_counts($mark)};
    is($seen{'127.0.0.2'} // 0, 0, "$part->[2]: no attempt at the server");
    is($seen{'127.0.0.11'} // 0, 0, "$part->[2]: nor at the node");
    is(states()->{$_}, 'unavail', "$part->[2]: $_ is out") for
        '127.0.0.2', '127.0.0.11';
    my ($now) = grep { $_->{server} =~ /^127.0.0.2:/ }
        @{$t->status->{upstreams}{orders}{peers}};
    cmp_ok($now->{downtime}, '>', $down->{downtime},
        "$part->[2]: and has been since");
    $down = $now;
}
$t->mend_backend($_) for '127.0.0.2', '127.0.0.11';

# ---- Weights that are too large keep their proportion.

my $large = $zone . $clusters . "dynamic_weight_base 1000000;\n"
    . 'upstream orders { dynamic_weight; '
    . 'server 127.0.0.1:%%BACKEND%% weight=3000; '
    . join('', map { "ingress_nodes $_ deployment=prod/orders "
        . 'port=%%BACKEND%%; ' } 'bj', 'sh')
    . "}\n" . $t->edge_server('orders');
$t->conf(http => $large);
my (undef, $tested) = $t->test_conf;
like($tested, qr/\[warn\] .*weight of 3000000000 is too large.*conf:\d+/,
    'nginx -t warns of what the configuration alone makes too large');
ok($t->stop, 'stopped');    # nobody is out then
ok($t->start, 'started');
ok($t->wait_weights('orders', { '127.0.0.11' => 562_500_000,
    '127.0.0.21' => 187_500_000, '127.0.0.1' => 187_500_000 }),
    'all weights of an upstream are scaled down together');
my $mark = $t->mark;
http_get($t->port, '/') for 1 .. 500;
my $counts = $t->backend_counts($mark);
cmp_ok(abs($counts->{'127.0.0.11'} - 300), '<=', 5, '60 % to 9000 pods');
cmp_ok(abs($counts->{'127.0.0.21'} - 100), '<=', 5, '20 % to 3000 pods');
cmp_ok(abs($counts->{'127.0.0.1'} - 100), '<=', 5, '20 % to 3000 KVMs');
my ($line) = @{$t->status->{upstreams}{orders}{clusters}};
is($line->{scale}, 16, 'the status says the scale');
like($line->{reason}, qr/divided by 16 .*too large/, 'and why');
wait_ok { $t->log =~ /\[warn\].*weight of 9000000000 is too large.*by 16/ }
    'the log warns';
$bj->app('prod', 'orders', 900, deployment => JSON::PP::true);
ok($t->wait_weights('orders', { '127.0.0.11' => 225_000_000,
    '127.0.0.21' => 750_000_000, '127.0.0.1' => 750_000_000 }),
    'and up again together');
ok($t->reload, 'reload');
is($t->weights('orders')->{'127.0.0.11'}, 225_000_000, 'the same at once');
ok($t->stop, 'stopped');

# ---- Connections: two workers of one number never count in one place.

$t->{workers} = 1;
$t->write_file('backends/slow', 'x' x 100_000);    # at 1,000 bytes/s
$t->conf(http => $zone . 'upstream orders { dynamic_weight; '
    . 'server 127.0.0.1:%%BACKEND%% max_conns=1; }' . $t->edge_server('orders'));
ok($t->start, 'started');

sub hold {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $t->port) or die "connect: $!\n";
    print $s "GET /slow HTTP/1.0\r\nHost: localhost\r\n\r\n";
    sysread $s, my $first, 16 or die "no answer\n";
    return $s;
}
sub refused { http_get($t->port, '/')->{status} == 502 }

my $held = hold();
ok(refused(), 'max_conns=1: one at a time');
my ($previous) = $t->workers;
my $elder = $t->master;
kill 'USR2', $elder;
my $younger;
wait_ok { ($younger = $t->master) && $younger != $elder && $t->workers }
    'a new binary serves';
kill 'WINCH', $elder;
wait_ok { !grep { $_ != $previous && $_ != $younger }
    DynamicWeight::Processes::children($elder) } 'the elder winds down';
wait_ok { my $name = '';
    if (open my $f, '<', "/proc/$previous/cmdline") { $name = <$f> // '' }
    $name =~ /shutting down/ } 'its worker finishes what it has';
kill 'HUP', $elder;
my $second;
wait_ok { ($second) = grep { $_ != $previous && $_ != $younger }
    DynamicWeight::Processes::children($elder) } 'the elder serves again';
kill 'QUIT', $younger;
wait_ok { !kill 0, $younger } 'the new binary ends';
wait_ok { ($t->master // 0) == $elder } 'the elder is the master';
ok(kill(0, $previous), 'the previous worker still has its request');
ok(refused(), 'which counts');

kill 'KILL', $previous;
$t->allow("$previous exited on signal 9");
wait_ok { !refused() } 'until its process is gone, however it went';
my $other = hold();
ok(refused(), 'one at a time');
kill 'KILL', $second;
$t->allow("$second exited on signal 9");
wait_ok { !refused() } 'the same for one that is started again';
close $held;
close $other;

$t->done;
