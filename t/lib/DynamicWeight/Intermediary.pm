package DynamicWeight::Intermediary;

# What companies put before API servers, real or fake, and how it handles
# watches. %%NAME%% is its URL: nginx takes plain HTTP, HAProxy passes bytes on.
#
#   DynamicWeight::Intermediary->new($t, 'CUT', $api, 'nginx', cut => 2);
#   DynamicWeight::Intermediary->new($t, 'CUT2', $api, 'haproxy', cut => 2);
#   DynamicWeight::Intermediary->new($t, 'HELD', $api, 'nginx', buffer => 1);
#   DynamicWeight::Intermediary->new($t, 'END', $api, 'nginx', end => 2);
#
#   DynamicWeight::Intermediary->new($t, 'TLS', $nacos, 'haproxy', grpc => 1,
#       pem => $file, port => DynamicWeight::Nacos::free_ports());
#
# `cut`: ends a connection on which nothing came for so many seconds. `buffer`:
# passes an answer on when its buffer is full or the answer complete. `end`:
# watches end after so many seconds, whatever the client asks for. `pem`: speaks
# TLS, with certificate and key of that file. `grpc`: the same for the port 1000
# higher, in HTTP/2. `beside`: further API servers of the cluster; HAProxy asks
# each whether it is ready.

use strict;
use warnings;

use DynamicWeight;

sub new {
    my ($class, $t, $name, $server, $kind, %opt) = @_;
    my $self = bless {
        dir => "$t->{dir}/intermediary-$name", owner => $$,
        port => $opt{port} // DynamicWeight::free_port(),
    }, $class;
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    my ($scheme) = $server->url =~ /^(\w+):/;
    $scheme = 'http' if $kind eq 'nginx';
    $scheme = 'https' if $opt{pem};
    $t->{names}{$name} = "$scheme://127.0.0.1:$self->{port}";
    push @{$t->{clusters}}, $self;
    my $conf = "$self->{dir}/$kind.conf";
    $t->write_file("intermediary-$name/$kind.conf",
        $self->$kind($server, %opt));
    system(@{{
        nginx   => [$t->{nginx}, '-p', $self->{dir}, '-c', $conf],
        haproxy => ['haproxy', '-D', '-q', '-f', $conf],
    }->{$kind}}) == 0 && DynamicWeight::wait_for(sub { $self->pid }, $kind)
        or die "$kind does not start: see $self->{dir}\n";
    return $self;
}

sub port { $_[0]{port} }

sub nginx {
    my ($self, $server, %opt) = @_;
    my $d = $self->{dir};
    my $cut = $opt{cut} // 700;
    my $buffering = $opt{buffer} ? 'on' : 'off';
    my ($scheme) = $server->url =~ /^(\w+):/;
    my $end = $opt{end} ? <<"EOF_IF" : '';
        if (\$args ~ ^(.*)timeoutSeconds=\\d+(.*)\$) {
            set \$args \$1timeoutSeconds=$opt{end}\$2;
        }
EOF_IF
    return <<"EOF_CONF";
pid $d/pid;
error_log $d/error.log notice;
worker_processes 1;
events { worker_connections 256; }
http {
    client_body_temp_path $d/t1; proxy_temp_path $d/t2;
    fastcgi_temp_path $d/t3; uwsgi_temp_path $d/t4; scgi_temp_path $d/t5;
    log_format passed "\$status\t\$request_uri\t\$sent_http_content_type";
    access_log $d/access.log passed;
    keepalive_requests 1000000;
    upstream api {
        server 127.0.0.1:@{[$server->port]};
        keepalive 8;
    }
    server {
        listen 127.0.0.1:$self->{port};
$end
        location / {
            proxy_pass $scheme://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering $buffering;
            proxy_read_timeout ${cut}s;
        }
    }
}
EOF_CONF
}

sub haproxy {
    my ($self, $server, %opt) = @_;
    my $cut = $opt{cut} // 700;
    my $conf = <<"EOF_CONF";
global
    pidfile $self->{dir}/pid
defaults
    mode tcp
    timeout connect 5s
    timeout client ${cut}s
    timeout server ${cut}s
EOF_CONF
    for my $more (0, $opt{grpc} ? 1000 : ()) {
        my $tls = $opt{pem} ? " ssl crt $opt{pem} alpn "
            . ($more ? 'h2' : 'http/1.1') : '';
        my $check = $opt{beside} ? ' check check-ssl verify none inter 200ms'
            . ' fall 1 rise 1 on-marked-down shutdown-sessions' : '';
        $conf .= <<"EOF_CONF";
listen api$more
    bind 127.0.0.1:@{[$self->{port} + $more]}$tls
    @{[$opt{beside} ? "balance leastconn\n    option redispatch 1\n"
        . '    option httpchk GET /readyz' : '']}
EOF_CONF
        my $n = 0;
        $conf .= "    server api@{[$n++]} 127.0.0.1:@{[$_->port + $more]}$check\n"
            for $server, @{$opt{beside} // []};
    }
    return $conf;
}

# What nginx has passed on, in the order in which it ended: hashes of status, uri
# and type.
sub passed {
    my ($self) = @_;
    open my $f, '<', "$self->{dir}/access.log" or die "access.log: $!\n";
    my @passed;
    while (<$f>) {
        chomp;
        my %one;
        @one{qw(status uri type)} = split /\t/;
        push @passed, \%one;
    }
    return @passed;
}

sub pid {
    my ($self) = @_;
    open my $f, '<', "$self->{dir}/pid" or return;
    my ($pid) = (<$f> // '') =~ /(\d+)/;
    return $pid;
}

sub stop {
    my ($self) = @_;
    return unless $$ == $self->{owner};
    my $pid = $self->pid or return;
    kill 'TERM', $pid;
}

1;
