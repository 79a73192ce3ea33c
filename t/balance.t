#!/usr/bin/perl

# The balancing method: shares, one sequence for all workers, passive health,
# limits, backups, retries, keepalive, TLS sessions, IPv6.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use List::Util qw(max min sum);
use Test::More;

my $t = DynamicWeight->new(workers => 4);
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes('127.0.0.11', '::1');

$t->start_backends(tls => '1.2');
my %port = map { $_ => free_port() } qw(seq one limit backup all tls v6);
$t->{names}{uc $_} = $port{$_} for grep { $_ ne 'tls' } keys %port;

my $servers = join "\n", map { <<"EOF" } sort keys %port;
    server {
        listen 127.0.0.1:$port{$_};
        add_header X-Worker \$pid;
        add_header X-Cluster \$dynamic_weight_cluster always;
        add_header X-Address \$upstream_addr;
        location / {
            proxy_pass          @{[$_ eq 'tls' ? 'https' : 'http']}://$_;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
            proxy_next_upstream error timeout http_500;
        }
    }
EOF

$t->conf(http => <<"EOF" . $servers . $t->edge_server('seq'));
    dynamic_weight_zone main:2m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       200ms;
    }
    upstream seq {
        dynamic_weight;
        server 127.0.0.1:%%BACKEND%% weight=5;
        server 127.0.0.2:%%BACKEND%% weight=3;
        server 127.0.0.3:%%BACKEND%% weight=2;
    }
    upstream one {
        dynamic_weight;
        server 127.0.0.31:%%BACKEND%%;
    }
    upstream limit {
        dynamic_weight;
        server 127.0.0.41:%%BACKEND%% max_conns=1;
    }
    upstream backup {
        dynamic_weight;
        server 127.0.0.51:%%BACKEND%% max_fails=1 fail_timeout=1s;
        server 127.0.0.52:%%BACKEND%% max_fails=1 fail_timeout=1s;
        server 127.0.0.53:%%BACKEND%% backup;
    }
    upstream all {
        dynamic_weight;
        server 127.0.0.61:%%BACKEND%% max_fails=0;
        server 127.0.0.62:%%BACKEND%% max_fails=0;
        server 127.0.0.63:%%BACKEND%% max_fails=0;
        server 127.0.0.64:%%BACKEND%% max_fails=0;
        server 127.0.0.65:%%BACKEND%% max_fails=0;
        server 127.0.0.66:%%BACKEND%% max_fails=0;
        server 127.0.0.67:%%BACKEND%% max_fails=0;
        server 127.0.0.68:%%BACKEND%% max_fails=0;
        server 127.0.0.69:%%BACKEND%% max_fails=0;
        server 127.0.0.70:%%BACKEND%% max_fails=0;
        server 127.0.0.71:%%BACKEND%% max_fails=0;
    }
    upstream tls {
        dynamic_weight;
        @{[$t->keep_none]}
        ingress_nodes bj service=prod/orders port=%%TLS%%;
    }
    upstream v6 {
        dynamic_weight;
        ingress_nodes bj service=prod/orders port=%%BACKEND%%;
        keepalive 4;
    }
EOF
ok($t->start, 'nginx starts');

# One global sequence: any 1,000 consecutive requests of four workers.

my $n = 6000;
my $sequence = $t->sequence($n, 4);
is($sequence->{workers}, 4, 'four workers serve in turn');
my %share = ('127.0.0.1' => 0.5, '127.0.0.2' => 0.3, '127.0.0.3' => 0.2);
my $worst = 0;
for my $address (keys %share) {
    my @prefix = (0);
    push @prefix, $prefix[-1] + ($_ eq $address) for @{$sequence->{bodies}};
    for my $i (0 .. $n - 1000) {
        $worst = max $worst,
            abs($prefix[$i + 1000] - $prefix[$i] - 1000 * $share{$address});
    }
}
cmp_ok($worst, '<=', 4, "any 1,000 requests stray at most 4 from 5:3:2");
note("worst: $worst");

# A single peer is never taken out.

$t->break_backend('127.0.0.31', 'close');
http_get($port{one}, '/') for 1 .. 3;
$t->mend_backend('127.0.0.31');
is(http_get($port{one}, '/')->{status}, 200, 'a single peer is never taken out');

# Passive health, and backups.

$t->break_backend('127.0.0.51', 'close');
my $mark = $t->mark;
is(http_get($port{backup}, '/')->{status}, 200, 'a failed try is tried again')
    for 1 .. 10;
is($t->backend_counts($mark)->{'127.0.0.51'} // 0, 1,
    'max_fails=1: one failure takes the peer out, in all workers');
$t->break_backend('127.0.0.52');
my $answer = http_get($port{backup}, '/');
is($answer->{status}, 200, 'no primary left: the backup serves');
like($answer->{body}, qr/127\.0\.0\.53/, 'the backup');
$t->mend_backend("127.0.0.5$_") for 1, 2;
wait_ok {
    http_get($port{backup}, '/')->{body} =~ /127\.0\.0\.5[12]/
} 'peers come back after fail_timeout';

# Retries never try the same peer twice: eleven peers, eleven tries.

$t->break_backend("127.0.0.$_") for 61 .. 71;
$mark = $t->mark;
$answer = http_get($port{all}, '/');
is($answer->{status}, 500, 'all peers failed');
my $counts = $t->backend_counts($mark);
is(scalar keys %$counts, 11, 'each was tried');
is(max(values %$counts), 1, 'none twice');
like($answer->{headers}, qr/X-Cluster: -(, -){10}\r?$/m,
    '$dynamic_weight_cluster has a value an attempt');

# max_conns.

my @slow = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port{limit}) or die;
    print $s "GET /slow HTTP/1.0\r\nHost: localhost\r\n\r\n";
    $s;
} 1;
wait_ok { $t->status->{upstreams}{limit}{peers}[0]{active} == 1 } 'the connection is counted';
is(http_get($port{limit}, '/')->{status}, 502, 'max_conns: no more than that');
close $_ for @slow;
wait_ok { $t->status->{upstreams}{limit}{peers}[0]{active} == 0 } 'the connection is counted back';
is(http_get($port{limit}, '/')->{status}, 200, 'max_conns: room again');

# Ingress nodes over IPv4 and IPv6, kept connections.

ok($t->wait_weights('v6', {'127.0.0.11' => 30, '[::1]' => 30}),
    'an IPv4 and an IPv6 node');
$mark = $t->mark;
http_get($port{v6}, '/') for 1 .. 200;
$counts = $t->backend_counts($mark);
cmp_ok(abs($counts->{'127.0.0.11'} - 100), '<=', 2, 'half to the IPv4 node');
cmp_ok(abs($counts->{'::1'} - 100), '<=', 2, 'half to the IPv6 node');
my %connections = map { $_->[1] => 1 } $t->backend_requests($mark);
cmp_ok(scalar keys %connections, '<=', 16, 'connections are kept');
like(http_get($port{v6}, '/')->{headers}, qr/X-Cluster: bj\r?$/m,
    '$dynamic_weight_cluster names the cluster');

# TLS: sessions are reused, worker by worker.

$mark = $t->mark;
is(http_get($port{tls}, '/')->{status}, 200, 'an HTTPS ingress node')
    for 1 .. 60;
my $reused = grep { $_->[2] eq 'r' } $t->backend_requests($mark);
cmp_ok($reused, '>=', 60 - 2 * 4, 'TLS sessions are reused');

# The status.

my $status = $t->status;
my ($first) = @{$status->{upstreams}{seq}{peers}};
is($first->{requests}, $first->{responses}{'2xx'}, 'responses are counted');
cmp_ok($first->{requests}, '>=', 2990, 'requests are counted');
is(http_get($t->port, '/dw/status', method => 'POST')->{status}, 405,
    'the status is read-only');
is(http_get($t->port, '/dw/other')->{status}, 404, 'no other page');

$t->done;
