#!/usr/bin/perl

# Pods as peers: each ready pod of a Service has a slot and its own port. What
# they get beside others, and that nobody notices when they come and go.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use DynamicWeight::InFlight qw(in_flight);
use DynamicWeight::Pods;
use DynamicWeight::SlowServers;
use JSON::Validator;
use List::Util qw(sum);
use POSIX ();
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
my $orders = DynamicWeight::Pods->new($bj, 'prod', 'orders',
    ports => { http => $t->{backend}, admin => 9 });
my $two = DynamicWeight::Pods->new($bj, 'prod', 'two',
    ports => { http => $t->{backend} });
$orders->set(map "127.7.0.$_", 1 .. 4);
$two->set('127.8.0.1', '127.8.0.2');
$sh->nodes(map "127.0.0.$_", 11 .. 12);
$sh->app('prod', 'orders', 6);
$t->start_backends;
$t->conf(http => <<'EOC' . $t->edge_server('orders'));
    dynamic_weight_zone main:4m state=%%DIR%%/state.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          confirm=1s;
    }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
    }
    upstream orders {
        dynamic_weight;
        server         127.3.0.1:%%BACKEND%%;
        server         127.3.0.2:%%BACKEND%% weight=2;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%%;
        instances      bj service=prod/orders port=http slots=16;
    }
    upstream two {
        dynamic_weight;
        server         127.3.0.1:%%BACKEND%%;
        instances      bj service=prod/two slots=4 base=20 empty=drain;
    }
EOC
ok($t->start, 'nginx starts');

my %others = ('127.3.0.1' => 10, '127.3.0.2' => 20,
    '127.0.0.11' => 30, '127.0.0.12' => 30);
sub pods { return map { ("127.7.0.$_" => 10) } @_ }

# The line of instances in an upstream, and a peer, as the status has them.
sub line {
    my ($upstream) = @_;
    return (grep { $_->{kind} eq 'instances' }
        @{$t->status->{upstreams}{$upstream // 'orders'}{clusters}})[0];
}
sub peer {
    my ($address) = @_;
    return (grep { $_->{server} =~ /^\Q$address\E:/ }
        @{$t->status->{upstreams}{orders}{peers}})[0];
}

# One request at a time: each has its part of ten for each unit of weight, to
# the few requests that a prefix of the sequence may be off, or `off`, where
# others take their part of the sequence.
sub shares_ok {
    my ($name, $off) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $weights = $t->weights('orders');
    my $result = in_flight({ port => $t->port, in_flight => 1,
        requests => 10 * sum(values %$weights) });
    my @off = grep {
        abs(($result->{bodies}{$_} // 0) - 10 * $weights->{$_}) > ($off // 8)
    } keys %$weights;
    my $n = sum(values %{$result->{bodies}});
    return ok(!@off && keys %{$result->{bodies}} == keys %$weights
            && $n == 10 * sum(values %$weights), $name)
        || diag(explain($result->{bodies}, $result->{statuses}));
}

# ---- One pod gets what one KVM gets, whatever is beside it.

ok($t->wait_weights('orders', { %others, pods(1 .. 4) }),
    'each pod weighs as one KVM');
shares_ok('a pod gets 1/N beside servers and ingress nodes');
ok($t->wait_weights('two', { '127.3.0.1' => 10, '127.8.0.1' => 20,
    '127.8.0.2' => 20 }), 'a line may have a base of its own');

my $line = line();
is_deeply([@$line{qw(cluster source port pods ingress_nodes weight base slots)}],
    ['bj', 'service=prod/orders port=http', undef, 4, 4, 10, 10, 16],
    'the status shows the line');
is_deeply([@{peer('127.7.0.2')}{qw(cluster node name state)}],
    ['bj', 'orders-2', 'bj', 'up'], 'and its peers by the names of the pods');
my $schema = JSON::Validator->new->schema(
    "file://$DynamicWeight::root/conf.d/status.schema.json")->schema;
my @errors = $schema->validate($t->status);
is("@errors", '', 'the status is as the schema says');
my $metrics = http_get($t->port, '/dw/metrics')->{body};
my $server = "127.7.0.2:$t->{backend}";
like($metrics, qr/upstream_server_weight\{upstream="orders",cluster="bj",
    server="\Q$server\E",[^}]*\}\ 10/x, 'so do the metrics');
like($metrics, qr/upstream_cluster_pods\{upstream="orders",cluster="bj",
    source="service=prod\/orders\ port=http",port="",[^}]*\}\ 4/x,
    'with how many there are');
like(http_get($t->port, '/dw/')->{body}, qr/4 instances, each × 10/,
    'and the page');

# ---- A rolling update, pod by pod: nobody notices.

my @slow;
until (@slow >= 8) {
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my $answer = http_get($t->port, '/slow');
        POSIX::_exit($answer && length $answer->{body} == 4000 ? 0 : 1);
    }
    push @slow, $pid;
}
$t->start_load(2);
my %now = map { $_ => 1 } 1 .. 4;
for my $old (1 .. 4) {
    my $new = $old + 10;
    $orders->add("127.7.0.$new");
    $now{$new} = 1;
    ok($t->wait_weights('orders', { %others, pods(keys %now) }),
        "pod $new has joined");
    $orders->change("127.7.0.$old", state => 'terminating');
    delete $now{$old};
    ok($t->wait_weights('orders', { %others, pods(keys %now) }),
        "pod $old drains at once");
    wait_ok { (peer("127.7.0.$old") // {})->{state} eq 'drained' }
        'what it had under way has ended';
    my $mark = $t->mark;
    shares_ok("the others' shares without pod $old", 50);
    is($t->backend_counts($mark)->{"127.7.0.$old"}, undef,
        'it gets no new request');
    $orders->remove("127.7.0.$old");
}
my $load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));
cmp_ok($load->{requests}, '>', 100, "there were $load->{requests}");
waitpid($_, 0), is($?, 0, 'a long request has ended') for @slow;
unlike($t->log, qr/orders.*held back/, 'nothing was held back');

# ---- All at once: those that terminate serve until there is another.

$orders->change("127.7.0.$_", state => 'terminating') for 11 .. 13;
ok($t->wait_weights('orders', { %others, pods(14) }), 'three drain');
$orders->change('127.7.0.14', state => 'terminating');
$orders->add('127.7.0.15');
ok($t->wait_weights('orders', { %others, pods(15) }), 'the fifth takes over');
$orders->set('127.7.0.15', '127.7.0.16');
$orders->change("127.7.0.$_", state => 'terminating') for 15, 16;
wait_ok { line()->{pods} == 2 } 'two that terminate serve as there is no other';
$orders->set(map "127.7.0.$_", 1 .. 4);
ok($t->wait_weights('orders', { %others, pods(1 .. 4) }), 'four again');

# ---- The port's number changes from release to release; the name does not.

my $other = free_port();
my $servers = DynamicWeight::SlowServers->new(port => $other,
    addresses => [map "127.7.0.$_", 1 .. 4]);
push @{$t->{clusters}}, $servers;
sub ports { return join ' ', sort map { $_->{server} =~ /:(\d+)/ }
    grep { $_->{server} =~ /^127\.7\./ && $_->{weight} }
    @{$t->status->{upstreams}{orders}{peers}} }
$t->start_load(2);
for my $n (1 .. 4) {
    $orders->change("127.7.0.$n", ports => { http => $other, admin => 9 });
    my $want = join ' ', sort +($other) x $n, ($t->{backend}) x (4 - $n);
    wait_ok { ports() eq $want } "pod $n has another port";
}
ok($t->wait_weights('orders', { %others, pods(1 .. 4) }), 'the weights stay');
$load = $t->stop_load;
is($load->{failed}, 0, 'no request failed') or diag(explain($load));

# A name that is gone is no reason to stop.

$orders->{ports} = { web => $other };
$orders->change("127.7.0.$_", ports => $orders->{ports}) for 1 .. 4;
wait_ok {
    grep { /orders port=http.*none of its ports is named http/ }
        @{$t->status->{clusters}{bj}{watch}{warnings}}
} 'the status says that the port is gone';
is_deeply($t->weights('orders'), { %others, pods(1 .. 4) }, 'and all hold');
shares_ok('they go on serving');
$orders->{ports} = { http => $t->{backend} };
$orders->set(map "127.7.0.$_", 1 .. 4);
wait_ok { !@{$t->status->{clusters}{bj}{watch}{warnings}} } 'it is back';

# ---- None at all: held until a second list confirms it; then the last ones
# keep the least weight, or none where the line says so.

my $mark = length $t->log;
$orders->set();
$two->set();
wait_ok { substr($t->log, $mark) =~ /prod\/two: instances 2 -> 0 held back/ }
    'the guard holds a fall to nothing';
is_deeply($t->weights('two'), { '127.3.0.1' => 10, '127.8.0.1' => 20,
    '127.8.0.2' => 20 }, 'the weights hold');
ok($t->wait_weights('two', { '127.3.0.1' => 10 }), 'empty=drain: confirmed');
ok($t->wait_weights('orders',
    { %others, map { ("127.7.0.$_" => 1) } 1 .. 4 }), 'empty=keep: the least');
like(line('two')->{reason}, qr/no instance serves/, 'with the reason');
$two->set('127.8.0.3');
ok($t->wait_weights('two', { '127.3.0.1' => 10, '127.8.0.3' => 20 }),
    'one comes back');
$orders->set(map "127.7.0.$_", 1 .. 4);
ok($t->wait_weights('orders', { %others, pods(1 .. 4) }), 'four come back');

# ---- A pod that fails without a word: passive health, and each of the others
# has its equal part of what it had.

$t->break_backend('127.7.0.3', 'close');
wait_ok { http_get($t->port, '/'); peer('127.7.0.3')->{state} eq 'unavail' }
    'a pod that fails is taken out';
my $result = in_flight({ port => $t->port, in_flight => 1, requests => 1200 });
is(scalar(keys %{$result->{statuses}}), 1, 'no request fails');
my %got = %{$result->{bodies}};
my @off = grep { abs(($got{$_} // 0) - 100) > 15 }
    '127.3.0.1', map "127.7.0.$_", 1, 2, 4;
is("@off", '', 'servers and pods have equal parts') or diag(explain(\%got));
$t->mend_backend('127.7.0.3');

$t->done;
