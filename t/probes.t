#!/usr/bin/perl

# Probes: a node is asked once for all upstreams, before a request finds out.
# What fails is out everywhere, and known across reloads and the death of the
# worker that asks; what fails everywhere tells nothing.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use List::Util qw(sum);
use Test::More;

my $t = DynamicWeight->new(workers => 2);

my @bj = map { "127.5.0.$_" } 1 .. 4;
my @sh = map { "127.6.0.$_" } 1 .. 2;
my $late = '127.5.0.9';

my %cluster;
for my $name ('BJ', 'SH') {
    $cluster{$name} = $t->fake_cluster($name);
    $cluster{$name}->app('prod', 'orders', 12);
}
$cluster{BJ}->nodes(@bj);
$cluster{SH}->nodes(@sh);
my $slow = $t->slow_servers(addresses => [@bj, $late, @sh]);

# Fifty upstreams of the same nodes, by every method; a failed attempt is
# forgotten after a second, so that requests would look at the node again.
my $of_bj = 'ingress_nodes bj service=prod/orders port=%%BACKEND%% slots=6 '
    . 'fail_timeout=1s';
my $of_sh = 'ingress_nodes sh service=prod/orders port=%%BACKEND%% slots=3;';
my @method = ('', 'least_conn', 'hash $arg_k');
my %upstream = (
    (map { sprintf('u%02d', $_) => "dynamic_weight $method[$_ % 3]; $of_bj;" }
        1 .. 50),
    both => "dynamic_weight; $of_bj; $of_sh",
    slow => "dynamic_weight; $of_bj slow_start=1h;",
    far  => "dynamic_weight; $of_sh",
);
my @fifty = grep { /^u/ } sort keys %upstream;

my $probe = 'interval=400ms fails=2 passes=2';

sub conf {
    my (%probe) = @_;
    my $clusters = join '', map { my $name = lc;
        "dynamic_weight_cluster $name { api %%$_%%; mode poll; interval 100ms; "
        . "guard off; ingress_nodes nodes=role=ingress; $probe{$name} }\n"
        } 'BJ', 'SH';
    my $upstreams = join '', map {
        "upstream $_ { $upstream{$_} dynamic_weight_keepalive 0; }\n"
        } sort keys %upstream;
    $t->conf(http => <<"EOC" . $t->edge_server('u01'));
    dynamic_weight_zone main:8m;
    $clusters $upstreams
    server {
        listen 127.0.0.1:$t->{by_name};
        add_header X-Tried \$upstream_addr always;
        location ~ ^/(\\w+) {
            proxy_pass http://\$1;
            proxy_connect_timeout 3s;
        }
    }
EOC
}
$t->{by_name} = free_port();

sub ask {
    my ($name, $requests) = @_;
    return in_flight({ port => $t->{by_name}, in_flight => 1,
        requests => $requests, uri => sub { "/$name?k=$_[0]" } });
}
# Whom each request was tried with, without the ports.
sub tried {
    my ($result) = @_;
    return map { my ($list) = $_->{head} =~ /^X-Tried: ([^\r]*)/m;
        join ' ', map { s/:\d+$//r } split /, /, $list // '' }
        @{$result->{answers}};
}
sub statuses { return join ' ', map { $_->{status} } @{$_[0]{answers}} }

sub peers { return $t->status->{upstreams}{$_[0]}{peers} }
sub peer {
    my ($name, $address) = @_;
    my ($peer) = grep { $_->{server} =~ /^\Q$address\E:/ } @{peers($name)};
    return $peer // {};
}
# How often each state stands for the address, in the fifty.
sub states {
    my ($address) = @_;
    my $status = $t->status;
    my %count;
    $count{$_->{state}}++ for grep { $_->{server} =~ /^\Q$address\E:/ }
        map { @{$status->{upstreams}{$_}{peers}} } @fifty;
    return join ' ', map { "$count{$_} $_" } sort keys %count;
}
sub probes { return $t->status->{clusters}{$_[0]}{watch}{probe} // {} }
# Waits until so many more probes have ended.
sub wait_probes {
    my ($cluster, $n) = @_;
    my $before = probes($cluster)->{probes};
    return wait_for { probes($cluster)->{probes} >= $before + $n } "$n probes";
}

# ---- What nginx -t tells.

my %probe = (bj => "probe http uri=/healthz $probe;",
    sh => "probe tcp $probe;");
conf(%probe);
my ($status, $said) = $t->test_conf;
is($status, 0, 'taken') or diag($said);
like($said, qr/cluster "bj": at most 19 probes a second, of 6 addresses and /,
    'nginx -t tells how many probes there may be');
like($said, qr/cluster "sh": at most 10 probes/, '... of each cluster');

# ---- Once a node.

$slow->requests;
ok($t->start, 'nginx starts');
wait_ok { states($bj[0]) eq '50 up' && probes('bj')->{passing} == 4
    && probes('sh')->{passing} == 2 } 'all pass';
wait_probes('bj', 40);
my $counted = probes('bj')->{probes};
my $seen = sum(@{$slow->requests}{@bj});
cmp_ok($seen, '>=', $counted, 'what is counted was asked');
cmp_ok($seen, '<', 4 * $counted, '... not once for each of 50 upstreams');
is(probes('bj')->{targets}, 4, 'four nodes, whatever the upstreams');
is(probes('bj')->{probe}, 'http /healthz', 'the status says how');
is(peer('u01', $bj[0])->{probe}{result}, 'passing', '... and what it says');

# ---- A node that swallows what is sent to it: out of every upstream before its
# second client, and no client looks whether it is back.

$slow->set($bj[1], hole => 1);
wait_ok { states($bj[1]) eq '50 unhealthy' } 'out of all upstreams';
my $out = peer('u01', $bj[1]);
is($out->{reason}, 'no connection within the timeout', 'the status says why');
cmp_ok(abs($out->{since} - $t->status->{time}), '<', 60_000, '... since when');
is($out->{probe}{result}, 'failing', '... and who says so');

sub none_tries {
    my ($address, $what, @upstreams) = @_;
    my (@tried, %statuses);
    for my $result (map { ask($_, 12) } @upstreams) {
        push @tried, grep { /\Q$address\E/ } tried($result);
        $statuses{$_->{status}}++ for @{$result->{answers}};
    }
    is("@tried", '', "$what: no request is tried there");
    is_deeply([keys %statuses], [200], "$what: all have their answer");
}
none_tries($bj[1], 'in 50 upstreams', @fifty);
wait_probes('bj', 30);    # longer than fail_timeout
none_tries($bj[1], 'later', @fifty);
my $pid = $t->worker0;
kill 'KILL', $pid;
$t->allow("$pid exited on signal 9");
wait_ok { $t->next_worker0($pid) } 'another worker 0';
is(states($bj[1]), '50 unhealthy', 'it is out while nobody asks');
none_tries($bj[1], 'after the death of worker 0', 'u01', 'u02', 'u03');
wait_ok { probes('bj')->{failing} } 'it is asked again';
# Times are of a clock that counts from another moment.
sub same_time { cmp_ok(abs($_[0] - $_[1]), '<=', 5, $_[2]) }
same_time(peer('u01', $bj[1])->{probe}{since}, $out->{probe}{since},
    'it fails since then');

conf(%probe);
ok($t->reload, 'reload');
is(states($bj[1]), '50 unhealthy', 'it is out at once');
same_time(peer('u01', $bj[1])->{since}, $out->{since}, '... since then');
none_tries($bj[1], 'after a reload', 'u01', 'u02', 'u03');

# ---- Requests that failed before their probe: forgotten when it passes.

$slow->set($bj[1], hole => 0);
wait_ok { states($bj[1]) eq '50 up' } 'back in all upstreams';
is(join(' ', map { scalar grep { /\Q$bj[1]\E/ } tried(ask($_, 40)) }
    'u03', 'u06'), '10 10', 'with its whole share');
cmp_ok(scalar(grep { /\Q$bj[1]\E/ } tried(ask('slow', 100))), '<=', 1,
    'where it is to start slowly it does');

# ---- Nodes that answer badly, each in its way.

my %reason = (
    drip    => 'no answer within the timeout',
    silent  => 'no answer within the timeout',
    half    => 'the connection was closed before the answer was complete',
    garbage => 'the answer is no HTTP',
    503     => 'status 503',
);
for my $mode (sort keys %reason) {
    $slow->set($bj[2], mode => $mode, uri => '/healthz');
    wait_ok { states($bj[2]) eq '50 unhealthy' } "$mode: out";
    is(peer('u01', $bj[2])->{reason}, $reason{$mode}, "$mode: why");
    $slow->set($bj[2], mode => '');
    wait_ok { states($bj[2]) eq '50 up' } "$mode: back";
}
$slow->set($bj[2], refuse => 1);
wait_ok { states($bj[2]) eq '50 unhealthy' } 'refused: out';
$slow->set($bj[2], refuse => 0);
wait_ok { states($bj[2]) eq '50 up' } 'refused: back';
$slow->set(\@bj, mode => 'flood', uri => '/healthz');
wait_probes('bj', 20);
is(probes('bj')->{failing}, 0, 'a gigabyte behind a good header passes');
$slow->set(\@bj, mode => '');

# ---- Whoever is left is asked, and so is everybody when all fail everywhere.

$slow->set(\@bj, mode => 503, uri => '/healthz');
wait_ok { probes('bj')->{failing} == 4 } 'a whole cluster fails';
is(probes('bj')->{ignored} + 0, 0, 'the other one does not: that tells something');
is_deeply([sort keys %{{map { $_ => 1 } tried(ask('both', 20))}}], \@sh,
    'all goes to the other cluster');
is(statuses(ask('u03', 4)), '200 200 200 200',
    'where there is no other, its nodes are asked');
is(peer('u01', $bj[0])->{state}, 'up', '... and are up');
is(peer('u01', $bj[0])->{probe}{result}, 'failing', '... though they fail');
$slow->set(\@sh, refuse => 'new');
wait_ok { probes('sh')->{ignored} } 'everything fails: that is ignored';
like($t->log, qr/all 6 probes fail: that is taken for a fault/,
    'the log says so');
is(peer('both', $bj[0])->{state}, 'up', 'nobody is out');
$slow->set(\@sh, refuse => 0);
wait_ok { peer('both', $bj[0])->{state} eq 'unhealthy' } 'until one passes';
wait_ok { probes('sh')->{passing} == 2 } 'the other cluster passes';
is_deeply([sort keys %{{map { $_ => 1 } tried(ask('both', 20))}}], \@sh,
    'all goes there again');
$slow->set(\@bj, mode => '');
wait_ok { probes('bj')->{passing} == 4 } 'all are back';

# ---- Who joins, where its first result is waited for.

$slow->set($late, mode => 'silent', uri => '/healthz');
$cluster{BJ}->nodes(@bj, $late);
wait_ok { peer('slow', $late)->{state} } 'a node joins';
like(peer('slow', $late)->{state}, qr/^(?:checking|unhealthy)$/,
    'where it starts slowly it waits for its first result');
none_tries($late, 'one that waits', 'slow');
wait_ok { states($late) eq '50 unhealthy' } 'it fails everywhere';
$slow->set($late, mode => '');
wait_ok { states($late) eq '50 up' } 'and passes';
is(peer('slow', $late)->{state}, 'up', 'so it serves');

# ---- Another configuration: other results, or none.

$slow->set($bj[1], mode => 503, uri => '/healthz');
wait_ok { states($bj[1]) eq '50 unhealthy' } 'one fails';
conf(%probe, bj => 'probe http uri=/other interval=1h timeout=1h fails=3;');
ok($t->reload, 'reload with another probe');
is(states($bj[1]), '50 up', 'what the other one said is forgotten');
wait_ok { (peer('u01', $bj[1])->{probe}{result} // '') eq 'passing' }
    'this one passes';
conf(%probe, bj => "probe http uri=/healthz $probe;");
ok($t->reload, 'reload with the former one');
wait_ok { states($bj[1]) eq '50 unhealthy' } 'it fails';
conf(%probe, bj => '');
ok($t->reload, 'reload without a probe');
is(states($bj[1]), '50 up', 'nothing of it is left');
is(peer('u01', $bj[1])->{probe}, undef, '... to be seen');
is(probes('bj')->{probe}, undef, '... of the cluster either');
$slow->set($bj[1], mode => '');

# ---- Kills and reloads among probes of every kind.

conf(bj => 'probe http uri=/healthz interval=100ms timeout=100ms fails=1 '
    . 'passes=1;', sh => 'probe tcp interval=100ms timeout=100ms;');
ok($t->reload, 'reload');
$slow->set($bj[$_], mode => (qw(drip flood half silent))[$_],
    uri => '/healthz') for 0 .. 3;
for my $round (1 .. 6) {
    wait_ok { probes('bj')->{probes} && probes('bj')->{probes} > 10 }
        "round $round: probes go on";
    is(statuses(ask('u03', 6)), join(' ', (200) x 6), '... and requests');
    my $victim = $t->worker0;
    if ($round % 2) {
        kill 'KILL', $victim;
        $t->allow("$victim exited on signal 9");
        wait_ok { $t->next_worker0($victim) } 'another worker 0';
    } else {
        ok($t->reload, 'reload');
    }
}
$slow->set(\@bj, mode => '');
# An answer may take as long as the interval.
conf(bj => 'probe http uri=/healthz interval=2s fails=2 passes=1;',
    sh => $probe{sh});
ok($t->reload, 'reload with patience');
# Who joined late, too.
wait_ok { (probes('bj')->{passing} // 0) == 5 } 'all is well', 60
    or diag(explain(probes('bj')), explain([map { peer('u01', $_) } @bj]));
my @descriptors = glob "/proc/@{[$t->worker0]}/fd/*";
wait_probes('bj', 12);
cmp_ok(scalar(@{[glob "/proc/@{[$t->worker0]}/fd/*"]}), '<=',
    @descriptors + 10, 'no descriptor is left behind');

$t->done;
