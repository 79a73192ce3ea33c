#!/usr/bin/perl

# The other methods, least_conn and hash; idle connections by peer; slow start.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use List::Util qw(max min sum);
use Time::HiRes qw(sleep);
use Test::More;

my $t = DynamicWeight->new(workers => 2);
my $bj = $t->fake_cluster('BJ');
$bj->app('prod', 'orders', 6);
$bj->nodes('127.0.0.11', '127.0.0.12');

$t->start_backends(tls => '1.3');
my @names =
    qw(hash bounded least kept brief stock thrice short young theirs off zero tls
        slow single many);
my %port = map { $_ => free_port() } @names;

my $servers = join "\n", map { <<"EOF" } @names;
    server {
        listen 127.0.0.1:$port{$_};
        location / {
            proxy_pass          @{[$_ eq 'tls' ? 'https' : 'http']}://$_;
            proxy_http_version  1.1;
            proxy_set_header    Connection "";
            proxy_buffering     off;
            proxy_next_upstream error timeout http_500;
        }
        location /verified {
            proxy_pass                     https://named/;
            proxy_http_version             1.1;
            proxy_set_header               Connection "";
            proxy_ssl_verify               on;
            proxy_ssl_trusted_certificate  %%DIR%%/backends/cert.pem;
            proxy_ssl_name                 \$arg_name;
        }
    }
EOF

my $twenty = join "\n", map { "server 127.0.1.$_:%%BACKEND%%;" } 1 .. 20;
my $many = join "\n",
    map { sprintf 'server 127.2.%d.%d:%%%%BACKEND%%%%;', $_ >> 8, $_ & 255 }
    1 .. 700;
my $ten = join "\n", map { "server 127.0.2.$_:%%BACKEND%% max_fails=0;" } 1 .. 10;

my $http = <<"EOF" . $servers . $t->edge_server('hash');
    dynamic_weight_zone main:4m;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       200ms;
    }
    upstream hash {
        dynamic_weight hash \$arg_key;
        $twenty
    }
    upstream bounded {
        dynamic_weight hash \$arg_key balance=125;
        $ten
    }
    upstream least {
        dynamic_weight least_conn;
        server 127.0.3.1:%%BACKEND%%;
        server 127.0.3.2:%%BACKEND%%;
    }
    upstream kept {
        dynamic_weight;
        dynamic_weight_keepalive 2 timeout=60s requests=100;
        ingress_nodes bj service=prod/orders port=%%BACKEND%%;
    }
    upstream brief {
        dynamic_weight;
        dynamic_weight_keepalive 2 timeout=1ms;
        server 127.0.9.1:%%BACKEND%%;
    }
    upstream stock {
        dynamic_weight;
        server 127.0.4.1:%%BACKEND%%;
        server 127.0.4.2:%%BACKEND%%;
        server 127.0.4.3:%%BACKEND%%;
        keepalive 1;
    }
    upstream thrice {
        dynamic_weight;
        server 127.0.7.1:%%BACKEND%%;
        keepalive_requests 3;
    }
    upstream short {
        dynamic_weight;
        server 127.0.10.1:%%BACKEND%%;
        keepalive_timeout 1ms;
        keepalive 8;
    }
    upstream young {
        dynamic_weight;
        server 127.0.11.1:%%BACKEND%%;
        keepalive_time 1ms;
    }
    upstream theirs {
        server 127.0.12.1:%%BACKEND%%;
        keepalive_requests 3;
        keepalive 8;
    }
    upstream off {
        dynamic_weight;
        @{[$t->keep_none]}
        server 127.0.5.1:%%BACKEND%%;
    }
    upstream zero {
        dynamic_weight;
        keepalive 0;
        server 127.0.8.1:%%BACKEND%%;
    }
    upstream tls {
        dynamic_weight;
        server 127.0.0.1:%%TLS%%;
    }
    upstream named {
        dynamic_weight;
        server 127.0.0.1:%%TLS%%;
    }
    upstream slow {
        dynamic_weight;
        ingress_nodes bj service=prod/orders port=%%BACKEND%% slow_start=1h;
    }
    upstream many {
        dynamic_weight;
        $many
    }
    upstream single {
        dynamic_weight;
        server 127.0.6.1:%%BACKEND%%;
    }
EOF

$t->conf(http => $http);
ok($t->start, 'nginx starts');
ok($t->wait_weights('kept', { '127.0.0.11' => 30, '127.0.0.12' => 30 }),
    'weights');

# The requests since a mark to addresses that match: servers log after they
# answer, so the last ones are waited for, and those to others left out.
sub arrived {
    my ($mark, $address, $n) = @_;
    my @requests;
    wait_for {
        @requests = grep { $_->[0] =~ $address } $t->backend_requests($mark);
        @requests >= $n
    } "$n requests";
    return @requests;
}

sub connections { my %c = map { $_->[1] => 1 } @_; return scalar keys %c }

# ---- hash: a key stays, over workers, requests and a reload.

# So many keys that chance leaves no peer without one (20 * 0.95^400).
my %home;
for my $key (1 .. 400) {
    my $times = $key % 50 == 0 ? 6 : 2;
    my %seen =
        map { http_get($port{hash}, "/?key=$key")->{body} => 1 } 1 .. $times;
    is(scalar keys %seen, 1, "key $key has one home") if $times > 2;
    $home{$key} = (keys %seen)[0];
}
my %keys;
$keys{$_}++ for values %home;
is(scalar keys %keys, 20, 'every peer has keys');
cmp_ok(max(values %keys), '<=', 50, 'none has many more than its share');

(my $doubled = $http) =~ s/127\.0\.1\.7:%%BACKEND%%/$& weight=2/;
$t->conf(http => $doubled);
ok($t->reload, 'reload with a doubled weight');
my @moved = grep { http_get($port{hash}, "/?key=$_")->{body} ne $home{$_} }
    keys %home;
cmp_ok(scalar @moved, '<=', 50, 'few keys move');
is(scalar(grep { http_get($port{hash}, "/?key=$_")->{body} ne "127.0.1.7\n" }
    @moved), 0, 'and all of them to it');

(my $less = $http) =~ s/server 127\.0\.1\.7:%%BACKEND%%;//;
$t->conf(http => $less);
ok($t->reload, 'reload without the peer');
@moved = grep { http_get($port{hash}, "/?key=$_")->{body} ne $home{$_} }
    keys %home;
is(join(' ', sort @moved),
    join(' ', sort grep { $home{$_} eq "127.0.1.7\n" } keys %home),
    'its keys move and no others');

# A failing peer: its keys go elsewhere, come back later.

my ($broken) = $home{1} =~ /(\S+)/;
$t->break_backend($broken);
isnt(http_get($port{hash}, '/?key=1')->{body}, $home{1},
    'a failing peer is skipped');
$t->mend_backend($broken);

# ---- hash: a hot key does not sink its peer.

my @slow = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port{bounded}) or die;
    print $s "GET /slow?key=hot HTTP/1.0\r\nHost: localhost\r\n\r\n";
    $s;
} 1 .. 80;
wait_ok {
    sum(map { $_->{active} } @{$t->status->{upstreams}{bounded}{peers}}) == 80
} 'eighty requests of one key are on their way';
my @active = map { $_->{active} } @{$t->status->{upstreams}{bounded}{peers}};
cmp_ok(max(@active), '<=', 11, 'no peer has more than 5/4 of its share');
note("active: @active");
$_->close for @slow;

# ---- least_conn: a peer that hangs on to its connections gets fewer.

@slow = map {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
        PeerPort => $port{least}) or die;
    print $s "GET /slow HTTP/1.0\r\nHost: localhost\r\n\r\n";
    $s;
} 1 .. 10;
wait_ok {
    sum(map { $_->{active} } @{$t->status->{upstreams}{least}{peers}}) == 10
} 'ten requests are on their way';
@active = map { $_->{active} } @{$t->status->{upstreams}{least}{peers}};
is("@active", '5 5', 'shared by connections');
$_->close for @slow;
for my $name (qw(bounded least)) {
    wait_ok {
        sum(map { $_->{active} } @{$t->status->{upstreams}{$name}{peers}}) == 0
    } "no connection of \"$name\" is left";
}

# ---- Idle connections are kept for each peer, and found again.

my $mark = $t->mark;
is(http_get($port{kept}, '/')->{status}, 200, 'a request') for 1 .. 40;
my @requests = arrived($mark, qr/^127\.0\.0\.1[12]$/, 40);
is(scalar @requests, 40, 'all arrived');
cmp_ok(connections(@requests), '<=', 2 * 2, 'one connection a peer and worker');

# ... also by default, also over TLS, not when switched off.

# How many connections 40 requests to addresses that match took.
sub taken {
    my ($name, $address, $seconds_between) = @_;
    my $mark = $t->mark;
    for (1 .. 40) {
        http_get($port{$name}, '/');
        sleep $seconds_between if $seconds_between;
    }
    return connections(arrived($mark, $address, 40));
}
cmp_ok(taken('tls', qr/^127\.0\.0\.1$/), '<=', 2, 'kept over TLS');

# ... but not for another name than the one that the certificate was verified
# for.

$mark = $t->mark;
for my $round (1 .. 3) {
    is(http_get($port{tls}, '/verified?name=backend')->{status}, 200,
        'a name that the certificate has') for 1 .. 4;
    is(http_get($port{tls}, '/verified?name=other')->{status}, 502,
        'and one that it has not') for 1 .. 4;
}
cmp_ok(connections(arrived($mark, qr/^127\.0\.0\.1$/, 12)), '<=', 2,
    'kept for the one');
is(taken('off', qr/^127\.0\.5\.1$/), 40, 'none is kept with 0');

# What nginx's own directives say is said of ours: so many for all peers, but one
# for each at least; and of an upstream that is not ours, of its own.

cmp_ok(taken('stock', qr/^127\.0\.4\./), '<=', 3 * 2,
    'a keepalive of 1 keeps one connection a peer and worker');
is(taken('zero', qr/^127\.0\.8\.1$/), 40, 'none is kept with 0');
cmp_ok(taken($_->[0], $_->[1]), '>=', 14, "keepalive_requests of $_->[0]")
    for ['thrice', qr/^127\.0\.7\.1$/], ['theirs', qr/^127\.0\.12\.1$/];
is(taken('short', qr/^127\.0\.10\.1$/, 0.01), 40, 'keepalive_timeout');
cmp_ok(taken('young', qr/^127\.0\.11\.1$/, 0.01), '>=', 20, 'keepalive_time');

# requests= closes a connection in time.

$mark = $t->mark;
http_get($port{kept}, '/') for 1 .. 900;
@requests = arrived($mark, qr/^127\.0\.0\.1[12]$/, 900);
cmp_ok(connections(@requests), '>=', 9,
    'no connection serves more than requests=');
my %per;
$per{$_->[1]}++ for @requests;
cmp_ok(max(values %per), '<=', 100, 'not one');

# timeout= holds to the millisecond for what is used again.

is(taken('brief', qr/^127\.0\.9\.1$/, 0.01), 40, 'none is used after timeout=');

# A node that leaves: its idle connections are closed.

sub idle_to {
    my ($address) = @_;
    my $n = 0;
    for my $pid ($t->workers) {
        open my $f, '-|', 'ss', '-Htnp', 'state', 'established', 'dst', $address
            or die;
        $n += grep { /pid=$pid,/ } <$f>;
    }
    return $n;
}
wait_ok { idle_to('127.0.9.1') == 0 } 'none soon after timeout=';
cmp_ok(idle_to('127.0.0.12'), '>=', 1, 'idle connections to the node');
$bj->nodes('127.0.0.11');
wait_ok { idle_to('127.0.0.12') == 0 } 'none soon after it left';
$bj->nodes('127.0.0.11', '127.0.0.12');

# The most that a worker may hold, which is a whole number of the pieces that
# they are looked through in: it is looked through once a second, not for ever.

is(scalar(grep { (http_get($port{many}, '/') // {})->{status} != 200 }
    1 .. 3000), 0, 'more servers than idle connections');
ok($t->idles($_), 'a worker with idle connections idles') for $t->workers;

# A kept connection that the peer closed is no failure of the peer: the request
# of a single one is tried again.

is(http_get($port{single}, '/')->{status}, 200, 'a request to a single peer');
$t->break_backend('127.0.6.1', 'close');
is(http_get($port{single}, '/')->{status}, 502, 'closed without an answer');
$t->mend_backend('127.0.6.1');
is(http_get($port{single}, '/')->{status}, 200, 'and there again');

# ---- Slow start: a node beside others begins with next to nothing.

ok($t->wait_weights('slow', { '127.0.0.11' => 30, '127.0.0.12' => 30 }),
    'the node came back');
$mark = $t->mark;
http_get($port{slow}, '/') for 1 .. 200;
my $counts = {};
$counts->{$_->[0]}++ for arrived($mark, qr/^127\.0\.0\.1[12]$/, 200);
cmp_ok($counts->{'127.0.0.12'} // 0, '<=', 20, 'a new node rises slowly');
is(sum(values %$counts), 200, 'the others serve');

# ... which a reload does not cut short.

$t->conf(http => $http);
ok($t->reload, 'reload');
$mark = $t->mark;
http_get($port{slow}, '/') for 1 .. 200;
$counts = {};
$counts->{$_->[0]}++ for arrived($mark, qr/^127\.0\.0\.1[12]$/, 200);
cmp_ok($counts->{'127.0.0.12'} // 0, '<=', 20, 'it still rises slowly');
$t->break_backend('127.0.0.11');
is(http_get($port{slow}, '/')->{body}, "127.0.0.12\n",
    'it serves all the same when it is needed');
$t->mend_backend('127.0.0.11');

# ---- keepalive N local, which newer ones have: none is taken by another location.

if ($t->keeps_by_location) {
    my $newer = DynamicWeight->new(workers => 1);
    $newer->start_backends;
    my $locations = join ' ', map { "location /$_ { proxy_pass http://u/; "
        . 'proxy_http_version 1.1; proxy_set_header Connection ""; }' } 'a', 'b';
    for my $case (['' => 1], [' local' => 2]) {
        my ($local, $connections) = @$case;
        $newer->conf(http => 'dynamic_weight_zone main:1m; upstream u { '
            . "dynamic_weight; server 127.0.0.1:%%BACKEND%%; keepalive 8$local; }"
            . " server { listen 127.0.0.1:%%PORT%%; $locations }");
        ok($local ? $newer->reload : $newer->start, "keepalive 8$local");
        my $mark = $newer->mark;
        http_get($newer->port, $_) for ('/a', '/b') x 5;
        wait_for { $newer->backend_requests($mark) >= 10 } 'ten requests';
        is(connections($newer->backend_requests($mark)), $connections,
            'as many connections');
    }
    ok($newer->stop, 'it ends');
}

# ---- Idle connections make room where nginx runs out of connections.

{
    my $few = DynamicWeight->new(workers => 1, connections => 100);
    $few->start_backends(quick => 1);
    my $hundred = join "\n", map { "server 127.0.1.$_:%%BACKEND%%;" } 1 .. 100;
    $few->conf(http => "dynamic_weight_zone main:1m;\n"
        . "upstream hundred { dynamic_weight; $hundred }\n"
        . $few->edge_server('hundred'));
    ok($few->start, 'nginx of few connections');
    http_get($few->port, '/') for 1 .. 200;
    my @requests = map {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
            PeerPort => $few->port) or die;
        print $s "GET /slow HTTP/1.0\r\nHost: localhost\r\n\r\n";
        $s;
    } 1 .. 40;
    my %statuses;
    for my $s (@requests) {
        sysread $s, my $answer, 1024;
        $statuses{$answer =~ m{^HTTP/\S+ (\d+)} ? $1 : 'none'}++;
    }
    is_deeply(\%statuses, { 200 => 40 }, 'idle ones make room for all');
    ok($few->stop, 'it ends');
}

$t->done;
