#!/usr/bin/perl

# The status JSON: complete, right, and harmless whatever a cluster says.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use JSON::Validator;
use POSIX qw(floor);
use Socket qw(SOL_SOCKET SO_RCVBUF);
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');

my $evil = qq{</script>"\n};

$bj->app('prod', 'orders', 20);
$bj->app('prod', 'pay', 1);
$bj->nodes({ name => $evil, address => '127.0.0.11', ready => JSON::PP::true },
    map { { name => "n$_", address => "127.0.0.$_", ready => JSON::PP::true } }
        12, 13);
$sh->app('prod', 'orders', 0);
$sh->nodes(map "127.0.0.$_", 21 .. 26);

$t->start_backends;
my $server = $t->edge_server('orders') =~ s{location}
    {access_log %%DIR%%/access.log dynamic_weight;
        location /limited/ { dynamic_weight_status; limit_rate 500k; }
        location}r;
my $many = join "\n", map { "server 127.0.1.$_:%%BACKEND%%;" } 1 .. 200;
$t->conf(http => <<"EOF" . $server);
    dynamic_weight_zone main:2m state=%%DIR%%/state/main.json;
    include %%ROOT%%/conf.d/access_log.conf;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        guard          off;
    }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
        guard          drop=50% confirm=300ms;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%% weight=2;
        server         127.0.0.3:%%BACKEND%% down;
        server         127.0.0.4:%%BACKEND%% backup;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%%;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% empty=drain;
    }
    upstream "pay & <co>" {
        dynamic_weight;
        dynamic_weight_base 7;
        ingress_nodes  bj service=prod/pay port=%%BACKEND%% slots=2;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% slots=4;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%% backup;
    }
    upstream many {
        dynamic_weight;
        $many
    }
EOF
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';

my $schema = JSON::Validator->new->schema(
    "file://$DynamicWeight::root/conf.d/status.schema.json")->schema;

sub status { decode_json(http_get($t->port, "/dw/status$_[0]")->{body}) }

sub fetch {
    my ($query, $name) = @_;
    my $answer = http_get($t->port, "/dw/status$query");
    my $status = decode_json($answer->{body});
    my @errors = $schema->validate($status);
    is("@errors", '', "$name: as the schema says");
    like($answer->{headers}, qr{^Content-Type: application/json\r?$}m,
        "$name: content type");
    like($answer->{headers}, qr/^Cache-Control: no-store/m,
        "$name: never from a cache");
    return ($status, $answer->{body});
}

sub peer {
    my ($status, $upstream, $address) = @_;
    return (grep { $_->{server} =~ /^\Q$address\E:/ }
        @{$status->{upstreams}{$upstream}{peers}})[0];
}

# What the weights should be, from pods, nodes and the configuration alone.

sub check_arithmetic {
    my ($status, $name) = @_;
    my %empty = (orders => { sh => 'drain' });
    my @wrong;
    for my $upstream (sort keys %{$status->{upstreams}}) {
        my $u = $status->{upstreams}{$upstream};
        my %lines;
        for my $line (@{$u->{clusters}}) {
            my $view = $status->{clusters}{$line->{cluster}}{view};
            my $pods = $view->{apps}{$line->{source}}{pods};
            my $nodes = $view->{ingress_nodes}{total};
            my $used = $nodes < $line->{slots} ? $nodes : $line->{slots};
            my $floor = floor($pods * $u->{base} / $used);
            my $weight = $floor < 1 ? 1 : $floor;
            $weight = 0 if $pods == 0
                && ($empty{$upstream}{$line->{cluster}} // '') eq 'drain';
            my $key = "$line->{cluster} " . ($line->{backup} ? 1 : 0);
            push @{$lines{$key}}, ($weight) x $used;
            push @wrong, "$upstream $key: line"
                unless $line->{weight} == $weight && $line->{pods} == $pods
                && $line->{ingress_nodes} == $nodes
                && $line->{used_nodes} == $used
                && abs($line->{raw} - $pods * $u->{base} / $used) < 0.001
                && !$line->{clamped} == ($weight == $floor)
                && $line->{peers} == $used;
        }
        my (%peers, %total);
        for my $peer (@{$u->{peers}}) {
            my $backup = $peer->{backup} ? 1 : 0;
            $total{$backup} += $peer->{weight};
            push @{$peers{"$peer->{cluster} $backup"}}, $peer->{weight}
                if $peer->{cluster};
        }
        for my $key (keys %lines) {
            my $is = join ' ', sort { $a <=> $b } @{$peers{$key}};
            my $should = join ' ', sort { $a <=> $b } @{$lines{$key}};
            push @wrong, "$upstream $key: $is, not $should" if $is ne $should;
        }
        for my $peer (@{$u->{peers}}) {
            my $whole = $total{$peer->{backup} ? 1 : 0} or next;
            push @wrong, "$upstream $peer->{server}: target share"
                if abs($peer->{target_share} - $peer->{weight} / $whole) > 1e-6;
        }
    }
    is(join(', ', @wrong), '', "$name: the arithmetic gives every weight");
}

# The views follow the weights, which are what is in a hurry.
my $counts = sub {
    my $status = status('');
    return !grep {
        my $line = $_;
        my $view = $status->{clusters}{$line->{cluster}}{view};
        !defined $view->{apps}{$line->{source}}{pods}
            || ($view->{apps}{$line->{source}}{pods} != ($line->{pods} // -1))
            || !$view->{ingress_nodes}{total}
    } map { @{$_->{clusters}} } values %{$status->{upstreams}};
};
wait_ok { $counts->() } 'the views show what the weights are made of';

my ($status, $text) = fetch('', 'first');
check_arithmetic($status, 'first');
unlike($text, qr/[<>&\n](?!\z)/, 'nothing that HTML or a script could mistake');

my $node = peer($status, 'orders', '127.0.0.11');
is($node->{node}, $evil, 'an evil node name comes out as it went in');
is($node->{weight}, 66, 'its weight');
my ($bj_line, $sh_line) = @{$status->{upstreams}{orders}{clusters}};
is($bj_line->{reason}, 'pods * base / ingress_nodes', 'a reason');
is($sh_line->{reason}, 'no ready pod, empty=drain: no request',
    'another reason');
is($sh_line->{weight}, 0, 'drained');
is($status->{upstreams}{'pay & <co>'}{clusters}[1]{used_nodes}, 4,
    'slots bound the divisor');
ok($status->{clusters}{$_}{up}, "cluster $_ is up") for 'bj', 'sh';
is($status->{clusters}{bj}{watch}{mode}, 'watch', 'mode');
ok(defined $status->{clusters}{bj}{age}, 'age');
is_deeply([map peer($status, 'orders', "127.0.0.$_")->{state}, 1 .. 3],
    ['up', 'up', 'down'], 'states of servers');

# Load: counters and shares.

$t->start_load(2);
wait_ok { status('')->{upstreams}{orders}{recent} > 1500 }
    'requests are counted';
my $load = $t->stop_load;
($status) = fetch('', 'after load');
my %sum = (requests => 0, total => 0, target => 0, observed => 0);
for my $peer (@{$status->{upstreams}{orders}{peers}}) {
    next if $peer->{backup};
    $sum{requests} += $peer->{requests};
    $sum{total} += $peer->{responses}{total};
    $sum{target} += $peer->{target_share};
    $sum{observed} += $peer->{observed_share};
}
is($sum{requests}, $load->{requests}, 'every request is counted once');
is($sum{total}, $load->{requests}, 'and so is every response');
cmp_ok(abs($sum{$_} - 1), '<', 1e-4, "shares are parts of 1: $_")
    for 'target', 'observed';
for my $part (@{$status->{upstreams}{orders}{clusters}},
    $status->{upstreams}{orders}{servers}[0])
{
    cmp_ok(abs($part->{target_share} - $part->{observed_share}), '<', 0.02,
        'observed is near target: ' . ($part->{cluster} // 'servers'));
}
like($t->read_file('access.log'), 
    qr/ 200 .* cluster=bj server=127\.0\.0\.\d+:\d+ answer=200 /,
    '$dynamic_weight_cluster');

# Decisions.

$bj->app('prod', 'orders', 31);
wait_ok { status('')->{upstreams}{orders}{clusters}[0]{weight} == 103 }
    'a change';
my $change;
wait_ok {
    $status = status('');
    ($change) = grep { $_->{upstream} eq 'orders' && $_->{new} == 103 }
        @{$status->{decisions}};
} 'and the decision, soon after';
($status) = fetch('', 'after a change');
is($change->{old}, 66, 'its old weight');
is($change->{cluster}, 'bj', 'its cluster');
is($change->{why}, 'pods 20 -> 31, nodes 3', 'why');
cmp_ok($change->{time}, '<=', $status->{time}, 'when');
cmp_ok($status->{upstreams}{orders}{clusters}[0]{generation}, '>=', 2,
    'generation');

my $requests = peer($status, 'orders', '127.0.0.1')->{requests};
wait_ok { status('')->{upstreams}{orders}{recent} == 0 }
    'observed shares begin anew with new weights';
is(peer(status(''), 'orders', '127.0.0.1')->{requests}, $requests,
    'counters go on');

my $pods = 0;
wait_ok {
    $bj->app('prod', 'orders', 100 + ++$pods);
    @{status('?peers=no')->{decisions}} == 256;
} 'the ring fills', 120;
for (1 .. 20) {
    my $generation = status('')->{upstreams}{orders}{clusters}[0]{generation};
    $bj->app('prod', 'orders', 1000 + $_);
    wait_for {
        status('')->{upstreams}{orders}{clusters}[0]{generation} > $generation
    } 'one more';
}
($status) = fetch('', 'after many changes');
is(@{$status->{decisions}}, 256, 'it holds 256');
my @times = map $_->{time}, @{$status->{decisions}};
is("@times", "@{[sort { $a <=> $b } @times]}", 'oldest first');

# It outlives worker 0 and a reload.

my $last = $status->{decisions}[-1];
sub holds_last {
    my ($name) = @_;
    ($status) = fetch('', $name);
    ok((grep { $_->{time} == $last->{time} && $_->{new} == $last->{new} }
        @{$status->{decisions}}), "$name: the ring is there");
}
$t->allow('exited on signal 9');
my $killed = $t->worker0;
kill 'KILL', $killed;
wait_ok { ($t->worker0 // $killed) != $killed } 'worker 0 is back';
holds_last('after a kill');
ok($t->reload, 'reload');
holds_last('after a reload');
check_arithmetic($status, 'after a reload');

# Queries.

($status) = fetch('?upstream=orders', 'one upstream');
is_deeply([keys %{$status->{upstreams}}], ['orders'], 'only this one');
ok(!(grep { $_->{upstream} ne 'orders' } @{$status->{decisions}}),
    'only its decisions');
($status) = fetch('?upstream=pay%20%26%20%3Cco%3E', 'an odd name');
is_deeply([keys %{$status->{upstreams}}], ['pay & <co>'], 'only the odd one');
($status) = fetch('?peers=no', 'without peers');
ok(!exists $status->{upstreams}{orders}{peers}, 'no peers');
for my $query ('peers=none', 'peer=no', 'filter=&colour=red') {
    my $answer = http_get($t->port, "/dw/status?$query");
    is($answer->{status}, 400, "?$query is refused");
    like($answer->{body}, qr/peers=no/, 'and told what there is');
}
is(http_get($t->port, '/dw/status?upstream=nobody')->{status}, 404,
    'an unknown upstream');
is(status('?upstream=%3C%22%0a')->{upstream}, qq{<"\n}, 'and it is named');

# A reader that nginx itself slows down, between pieces.

my $limited = http_get($t->port, '/limited/status?upstream=many');
ok($limited, 'limit_rate: the answer is complete')
    and is(@{decode_json($limited->{body})->{upstreams}{many}{peers}}, 200,
        'to the last peer');

# Read-only.

for my $method ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'BREW') {
    my $answer = http_get($t->port, '/dw/status', method => $method,
        body => 'x');
    is($answer->{status}, 405, "$method is refused");
    like($answer->{headers}, qr/^Allow: GET, HEAD/m, 'what is allowed');
}
my $head = http_get($t->port, '/dw/status', method => 'HEAD');
is($head->{status}, 200, 'HEAD');
is($head->{body}, '', 'without a body');
is(http_get($t->port, '/dw/nothing')->{status}, 404, 'what there is not');
is(http_get($t->port, '/dw')->{status}, 301, 'the slash is added');

# Failures are counted, and how long a peer was out.

$t->break_backend('127.0.0.1', 'close');
$t->start_load(1);
wait_ok {
    my $peer = peer(status('?upstream=orders'), 'orders', '127.0.0.1');
    $peer->{state} eq 'unavail' && $peer->{fails} >= 1
        && $peer->{unavail} == 1 && $peer->{downtime} > 0
} 'a failing peer is shown';
$t->mend_backend('127.0.0.1');
my $answered = peer(status(''), 'orders', '127.0.0.1')->{responses}{'2xx'};
wait_ok {
    my $peer = peer(status('?upstream=orders'), 'orders', '127.0.0.1');
    # It is up as soon as a request would be let in; the first of them still
    # counts as a part of the downtime.
    $peer->{state} eq 'up' && $peer->{downtime} > 0
        && $peer->{responses}{'2xx'} >= $answered + 2
} 'it is back', 60;
my $downtime = peer(status(''), 'orders', '127.0.0.1')->{downtime};
is(peer(status(''), 'orders', '127.0.0.1')->{downtime}, $downtime,
    'and its downtime stands still');
$t->stop_load;

# A location whose rest could not be told.

for my $location ('~ ^/re/', '@named') {
    my $other = DynamicWeight->new;
    $other->conf(http =>
        "server { location $location { dynamic_weight_status; } }");
    like(($other->test_conf)[1],
        qr/"dynamic_weight_status" directive needs a location/,
        "location $location is refused");
}

# A reload lets an answer that is on its way end.

{
    my $big = DynamicWeight->new(workers => 1);
    my $servers = join ' ', map {
        sprintf 'server 127.1.%d.%d:%%%%BACKEND%%%%;', $_ >> 8, $_ & 255
    } 1 .. 8000;
    $big->conf(http => "dynamic_weight_zone main:32m;\n"
        . "upstream big { dynamic_weight; $servers }\n"
        . "server { listen 127.0.0.1:@{[$big->port]} sndbuf=16k;"
        . " location /dw/ { dynamic_weight_status; } }");
    ok($big->start, 'nginx with 8,000 servers');
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $big->port,
        Sockopts => [[SOL_SOCKET, SO_RCVBUF, 16384]]) or die;
    print $s "GET /dw/status HTTP/1.0\r\n\r\n";
    sysread $s, my $answer, 1024;
    ok($big->reload, 'reload while the status is read');
    ok(scalar $big->old_workers, 'an old worker goes on');
    while (sysread $s, $answer, 65536, length $answer) { }
    my $status = eval { decode_json($answer =~ s/.*?\r\n\r\n//sr) };
    is(scalar @{$status->{upstreams}{big}{peers} // []}, 8000,
        'the answer is whole');
    close $s;
    wait_ok { !$big->old_workers } 'the old worker ends';
    ok($big->stop, 'nginx ends');
    is(join("\n", $big->alarming), '', 'nothing alarming in the log');
}

# An API that fails.

$sh->stop;
wait_ok {
    my $cluster = status('?peers=no')->{clusters}{sh};
    !$cluster->{up} && $cluster->{watch}{failing_since}
        && $cluster->{watch}{last_error} ne ''
} 'a cluster that is down is shown';

$t->done;
