package DynamicWeight::Browser;

# A real headless Chromium, driven over its remote-debugging protocol.
#
#   my $browser = DynamicWeight::Browser->new($t);
#   $browser->open("http://127.0.0.1:...");
#   $browser->value('document.title');
#   $browser->requests, $browser->complaints

use strict;
use warnings;

use MIME::Base64 qw(decode_base64);
use Mojo::IOLoop;
use Mojo::UserAgent;
use POSIX ();

sub new {
    my ($class, $t) = @_;
    my $self = bless { t => $t, owner => $$, id => 0, answers => {},
        requests => [], complaints => [] }, $class;
    my $profile = "$t->{dir}/chromium";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        CORE::open STDOUT, '>', "$t->{dir}/chromium.log";
        CORE::open STDERR, '>&', \*STDOUT;
        setpgrp;
        exec('chromium', '--headless=new', '--no-sandbox', '--disable-gpu',
            '--no-first-run', '--disable-dev-shm-usage', '--hide-scrollbars',
            '--disable-background-networking', '--disable-component-update',
            "--user-data-dir=$profile", '--remote-debugging-port=0',
            'about:blank') or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    my $port;
    &DynamicWeight::wait_for(sub {
        CORE::open my $f, '<', "$profile/DevToolsActivePort" or return;
        ($port) = (<$f> // '') =~ /^(\d+)$/;
    }, 'Chromium', 120) or die "chromium does not start\n";
    $self->{ua} = Mojo::UserAgent->new(max_response_size => 0,
        inactivity_timeout => 0);
    my $pages = $self->{ua}->get("http://127.0.0.1:$port/json")->result->json;
    my ($page) = grep { $_->{type} eq 'page' } @$pages;
    $self->{ua}->websocket($page->{webSocketDebuggerUrl} => sub {
        my (undef, $tx) = @_;
        die "no debugging connection\n" unless $tx->is_websocket;
        $tx->max_websocket_size(64 << 20);
        $self->{tx} = $tx;
        $tx->on(json => sub { $self->_take($_[1]) });
    });
    $self->_until(sub { $self->{tx} });
    $self->call("$_.enable") for qw(Page Network Runtime Log);
    return $self;
}

sub _until {
    my ($self, $condition, $seconds) = @_;
    my $end = time + ($seconds // 120);
    my $timer = Mojo::IOLoop->recurring(0.05 => sub { });
    Mojo::IOLoop->one_tick until $condition->() || time > $end;
    Mojo::IOLoop->remove($timer);
    die "Chromium does not answer\n" unless $condition->();
}

sub _take {
    my ($self, $message) = @_;
    return $self->{answers}{$message->{id}} = $message if $message->{id};
    my ($method, $params) = @$message{qw(method params)};
    if ($method eq 'Network.requestWillBeSent') {
        push @{$self->{requests}}, $params->{request}{url};
    } elsif ($method eq 'Log.entryAdded') {
        push @{$self->{complaints}}, $params->{entry}{text};
    } elsif ($method eq 'Runtime.exceptionThrown') {
        push @{$self->{complaints}},
            $params->{exceptionDetails}{exception}{description}
            // $params->{exceptionDetails}{text};
    } elsif ($method eq 'Runtime.consoleAPICalled') {
        push @{$self->{complaints}}, join ' ',
            map { $_->{value} // $_->{description} // '' } @{$params->{args}};
    } elsif ($method eq 'Page.loadEventFired') {
        $self->{loaded}++;
    }
}

sub call {
    my ($self, $method, %params) = @_;
    my $id = ++$self->{id};
    $self->{tx}->send({ json =>
        { id => $id, method => $method, params => \%params } });
    $self->_until(sub { $self->{answers}{$id} });
    my $answer = delete $self->{answers}{$id};
    die "$method: $answer->{error}{message}\n" if $answer->{error};
    return $answer->{result};
}

# Everything that was asked for, and what the console complained of.
sub requests   { @{$_[0]{requests}} }
sub complaints { @{$_[0]{complaints}} }

sub open {
    my ($self, $url) = @_;
    my $loaded = $self->{loaded} // 0;
    $self->call('Page.navigate', url => $url);
    $self->_until(sub { ($self->{loaded} // 0) > $loaded });
}

# The value of a JavaScript expression; promises are waited for.
sub value {
    my ($self, $expression) = @_;
    my $result = $self->call('Runtime.evaluate', expression => $expression,
        returnByValue => \1, awaitPromise => \1);
    die "$expression: $result->{exceptionDetails}{exception}{description}\n"
        if $result->{exceptionDetails};
    return $result->{result}{value};
}

sub scripts {
    my ($self, $on) = @_;
    $self->call('Emulation.setScriptExecutionDisabled',
        value => $on ? \0 : \1);
}

# The size of the window, and "light" or "dark".
sub look {
    my ($self, $width, $height, $scheme) = @_;
    $self->call('Emulation.setDeviceMetricsOverride', width => $width,
        height => $height, deviceScaleFactor => 1, mobile => \0);
    $self->call('Emulation.setEmulatedMedia', features =>
        [{ name => 'prefers-color-scheme', value => $scheme // 'light' }]);
}

sub screenshot {
    my ($self, $path) = @_;
    my $png = $self->call('Page.captureScreenshot', format => 'png')->{data};
    CORE::open my $f, '>', $path or die "$path: $!\n";
    binmode $f;
    print $f decode_base64($png);
    close $f or die "$path: $!\n";
}

sub stop {
    my ($self) = @_;
    return unless $self->{pid} && $$ == $self->{owner};
    kill 'KILL', -$self->{pid};
    waitpid delete $self->{pid}, 0;
}

sub DESTROY {
    my ($self) = @_;
    local $?;
    $self->stop;
}

1;
